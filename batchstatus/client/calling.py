"""One kept connection to a service, over which a client sends requests and reads usable answers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPResponse
from typing import Self
from urllib.parse import quote

from batchstatus.client import answers
from batchstatus.client.address import address_of
from batchstatus.model.errors import InvalidValue, JobNotFound

_ASKED_FOR = {204: "Last-Event-ID", 304: "If-None-Match"}
"""Answers that are usable only to a request with this header."""


class Calling:
    """Sends requests with one API key; what all of a client's methods have in common."""

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0, give_up_s: float = 60.0) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise InvalidValue("api_key is empty or has characters that a header cannot carry")
        if not (0 < timeout_s < 1e6 and give_up_s >= 0):
            raise InvalidValue(f"timeout_s {timeout_s!r} must be above 0, give_up_s {give_up_s!r} at least 0")
        self._url = url
        self._connection, self._origin, self._base = address_of(url, timeout_s)
        self._headers = {"Authorization": f"Bearer {api_key}", "User-Agent": "batchstatus"}
        self._api_key, self._timeout_s, self._give_up_s = api_key, timeout_s, give_up_s
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Returns the service's time in UTC, as its last answer told; before the first one, this machine's.

        Where the two differ by less than 2 s it is this machine's, since an answer tells whole seconds.

            client.now() - client.get("0199…").heartbeat_at   # how long the worker has been silent
        """
        return datetime.now(UTC) + self._ahead

    def _another(self) -> "Calling":
        """Returns the same over a connection of its own, for an answer that lasts or for another thread."""
        return Calling(self._url, self._api_key, timeout_s=self._timeout_s, give_up_s=self._give_up_s)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers_within(self, seconds: float) -> float:
        """Wait for answers no longer than this, nor than before. Returns the new limit, in seconds."""
        self._timeout_s = self._connection.timeout = min(self._timeout_s, seconds)
        return self._timeout_s

    def _path(self, job_id: str, rest: str = "", route: str = "jobs") -> str:
        if not job_id.strip("."):  # "", "." and ".." cannot be path segments, and no job has such an id
            raise JobNotFound(f"{self._origin}{self._base}: no job can have the id {job_id!r}")
        return f"{self._base}/batch-import/{route}/{quote(job_id, safe='', errors='replace')}{rest}"

    @contextmanager
    def _answer(
        self, path: str, extra: Mapping[str, str] = {}, wait_s: int = 0, body: str | None = None
    ) -> Iterator[HTTPResponse]:
        """Yield the usable answer to a GET, or to a POST of `body`. Any failure closes the connection."""
        try:
            with self._send(path, extra, wait_s, body) as response:
                if response.status not in (200, 201, 202, 204, 304) or (
                    response.status in _ASKED_FOR and _ASKED_FOR[response.status] not in extra
                ):
                    raise answers.error_of(response)
                yield response
        except BaseException:
            self.close()
            raise

    def _send(self, path: str, extra: Mapping[str, str], wait_s: int, body: str | None) -> HTTPResponse:
        """Send a request; send it again at once if the service had closed the persistent connection meanwhile."""
        connection, kept = self._connection, self._connection.sock is not None
        try:
            if not kept:
                connection.connect()
            connection.sock.settimeout(wait_s + self._timeout_s)
            method, declared = ("GET", {}) if body is None else ("POST", {"Content-Type": "application/json"})
            connection.request(method, path, body, headers={**self._headers, **declared, **extra})
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            if kept and not isinstance(error, TimeoutError):
                return self._send(path, extra, wait_s, body)
            raise answers.Unanswered(f"{self._origin}{path}: no answer ({error!r})") from error
        self._ahead = answers.ahead(response)
        response.url = f"{self._origin}{path}"
        return response
