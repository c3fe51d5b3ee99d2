"""A server that refuses a connection says why; so does the error."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from batchstatus import StoreUnavailable, connect
from tests.support.sdk import UNHURRIED
from tests.support.topologies import needs_cluster

REFUSALS = ["ERR max number of clients reached", "DENIED Redis is running in protected mode because no password"]


@contextmanager
def refusing(words: str) -> Iterator[int]:
    """Yield the port of a server that says these words to whoever connects, and hangs up."""

    def refuse() -> None:
        with ExitStack() as open_ones, suppress(OSError):
            while True:
                connection, _ = listening.accept()
                open_ones.enter_context(connection)  # closed at once, it might take back what was said
                connection.sendall(f"-{words}\r\n".encode())
                connection.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=refuse)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


CLUSTER = "redis+cluster://127.0.0.1:{}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        *(("redis://127.0.0.1:{}", each) for each in REFUSALS),
        pytest.param(CLUSTER, REFUSALS[0], marks=needs_cluster),
    ],
)
def test_the_error_says_why_the_server_refuses(url: str, words: str) -> None:
    with refusing(words) as port:
        for _ in range(20):  # the refusal may come before or after the first command is sent
            with closing(connect(url.format(port), **UNHURRIED)) as store:
                refusal = pytest.raises(StoreUnavailable, match=words.partition(" ")[2])
                with refusal:
                    store.ping()
