"""A listener to the events of the service, over one connection."""

import http.client
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

TIMEOUT_S = 30.0


@dataclass
class Event:
    """An event as it came: its name, its id, its data, and when its last line was read."""

    name: str = ""
    tag: str = ""
    data: Any = None
    at: float = field(default=0.0, compare=False)

    @property
    def job(self) -> dict[str, Any]:
        """The job in the data."""
        assert self.name == "job", self
        found: dict[str, Any] = self.data["job"]
        return found


class Listening:
    """A stream at a loopback port, as a context manager. The head has been read; `next` reads an event."""

    def __init__(self, port: int, path: str, key: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {key}", **given})
        self.response = self._connection.getresponse()
        self.comments = 0

    def next(self) -> Event | None:
        """Returns the next event; None at the end of the stream. Fails after TIMEOUT_S of silence."""
        found, until = Event(), time.monotonic() + TIMEOUT_S
        while line := self.response.readline():
            assert time.monotonic() < until, "no event, but comments"
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if line == b"\n" and found.name:
                found.at = time.monotonic()
                return found
            self.comments += line.startswith(b":")
            if name == "event":
                found.name = value
            elif name == "id":
                found.tag = value
            elif name == "data":
                found.data = json.loads(value)
        assert found == Event(), "cut in the middle of an event"
        return None

    def rest(self) -> list[Event]:
        """Returns all events up to the end of the stream."""
        return list(iter(self.next, None))

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
