"""A TCP proxy in front of a server that can lose answers and cut connections."""

import socket
import threading
from contextlib import suppress
from typing import Self

HOST = "127.0.0.1"


class LossyProxy:
    """Forwards everything to `port`.

    While `swallowing`, the server's answers are lost, though the server has run the commands. A connection that
    lost an answer gets no further ones. From `cut` to `mend` there are no connections.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((HOST, 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://{HOST}:{self.port}/0"
        self.swallowing = False
        self.swallowed = 0
        self._cut = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Close every connection, and from now on each new one."""
        with self._lock:
            self._cut = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._sockets.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = False

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._lock:
                if self._cut:
                    client.close()
                    continue
                server = socket.create_connection((HOST, self._target))
                self._sockets += client, server
            self._run(self._pass_on, client, server, False)
            self._run(self._pass_on, server, client, True)

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        mute = False
        try:
            while data := source.recv(65_536):
                if answers and (mute or self.swallowing):
                    self.swallowed += not mute
                    mute = True
                else:
                    sink.sendall(data)
        finally:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _run(work: object, *arguments: object) -> None:
        def until_closed() -> None:
            with suppress(OSError):  # raised when another thread closes the socket
                work(*arguments)  # type: ignore[operator]

        threading.Thread(target=until_closed, daemon=True).start()
