"""A way to the store that loses answers."""

import random
import socket
import threading
from contextlib import suppress
from typing import Self

HOST = "127.0.0.1"


class LosingProxy:
    """Passes everything on to a port of this machine, and loses one answer in one to six, with its connection.

    The store has done what it was asked; the worker cannot know.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._chance = random.Random(port)
        self._until_lost = 1
        self._listener = socket.create_server((HOST, 0))
        self._open: list[socket.socket] = [self._listener]
        self.url = f"redis://{HOST}:{self._listener.getsockname()[1]}/0"
        self.lost = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._target))
                self._open += client, server
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(*pair, pair[0] is server), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if answers and self._is_lost():
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _is_lost(self) -> bool:
        # At random: at a fixed pace, a worker that asks a few things of each new connection may never be through.
        self._until_lost -= 1
        if self._until_lost > 0:
            return False
        self._until_lost = self._chance.randint(1, 6)
        self.lost += 1
        return True
