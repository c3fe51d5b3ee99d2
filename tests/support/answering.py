"""A proxy in front of a real store that can answer in the store's place: with errors, garbage or nothing."""

import re
import socket
import threading
from contextlib import suppress
from typing import Self

HOST = "127.0.0.1"
COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n[A-Z]")


class AnsweringProxy:
    """Forwards everything to `port` until `answer` is set; then answers each command itself.

    An empty answer closes the connection. `pace_s` is the pause between single bytes of the answer.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((HOST, 0), backlog=256)
        self.url = f"redis://{HOST}:{self._listener.getsockname()[1]}/0"
        self.answer: bytes | None = None
        self.pace_s = 0.0
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._threads:
            each.join()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.settimeout(0.2)  # to check `_closing` regularly
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection((HOST, self._target)) as server:
            self._start(self._relay, server, client)
            try:
                while data := self._receive(client):
                    if self.answer is None:
                        server.sendall(data)
                    elif not self._answer(client, self.answer * len(COMMAND.findall(data))):
                        return
            finally:
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)

    def _relay(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(65_536):
            client.sendall(data)

    def _receive(self, client: socket.socket) -> bytes:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                return client.recv(65_536)
        return b""

    def _answer(self, client: socket.socket, answer: bytes) -> bool:
        if self.pace_s == 0:
            client.sendall(answer)
        else:
            for number in range(len(answer)):
                client.sendall(answer[number : number + 1])
                if self._closing.wait(self.pace_s):
                    break
        return bool(answer)

    def _start(self, work: object, *arguments: object) -> None:
        def until_closed() -> None:
            with suppress(OSError):  # raised when the peer or another thread closes the socket
                work(*arguments)  # type: ignore[operator]

        thread = threading.Thread(target=until_closed)
        self._threads.append(thread)
        thread.start()
