"""How answers are sent: what never goes out, whatever an application says."""

import socket
from types import SimpleNamespace

import gevent
import pytest
from gevent.socket import socketpair
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader

from batchstatus.web.server import response as module
from batchstatus.web.server.response import PeerStalled, WorkerResponse

WORKER = SimpleNamespace(alive=True)


@pytest.mark.parametrize("broken", ["no-cache\r\nSet-Cookie: a=b", "no-cache\nSet-Cookie: a=b", "a\rb", "a\0b"])
def test_a_header_with_a_line_break_or_the_like_is_refused_before_anything_is_sent(broken: str) -> None:
    request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
    here, there = socket.socketpair()
    with here, there:
        response = WorkerResponse(request, here, Config(), WORKER)
        with pytest.raises(InvalidResponseHeader):
            response.start_response("200 OK", [("Content-Length", "4"), ("Cache-Control", broken)])
        assert not response.headers_sent
        here.close()
        assert there.recv(100) == b""


@pytest.mark.parametrize("slowly", [True, False])
def test_who_takes_an_answer_slowly_gets_it_and_who_takes_nothing_is_given_up(
    slowly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_TIMEOUT_S", 0.5)
    request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
    body, taken = b"x" * 30_000_000, bytearray()
    here, there = socketpair()
    with here, there:
        response = WorkerResponse(request, here, Config(), WORKER)
        response.start_response("200 OK", [("Content-Length", str(len(body)))])

        def take() -> None:
            while piece := there.recv(1 << 20):
                taken.extend(piece)
                gevent.sleep(0.02)  # in all longer than the limit

        if slowly:
            taking = gevent.spawn(take)
            response.write(body)
            here.close()
            taking.get()
            assert taken.endswith(b"\r\n\r\n" + body)
        else:
            with pytest.raises(PeerStalled):
                response.write(body)
