"""A polling client for callers of the HTTP API, written with the standard library only.

    with Client("https://api.example.com", api_key="…") as client:
        for job in client.watch("0199…"):
            print(job.status, job.succeeded, job.total_items)

An answer is either usable, a permanent error (refused key, unknown job, redirect, rejected request) or a
transient one: no answer at all, a 5xx or 429, or a page that batchstatus did not write, such as a proxy's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from random import uniform
from time import monotonic, sleep
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlencode, urlsplit

from batchstatus.client import answers
from batchstatus.errors import InvalidValue, JobNotFound, ServiceUnavailable
from batchstatus.model import Action, Job

_SCHEMES: dict[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}
_ROUTES = {"transaction_batch": "transaction", "user_event_batch": "user-event", "entity_automatic": "entity"}
_LONGEST_S = answers.LONGEST_S  # the longest wait that is requested
_PACE_S = 2.0  # the pause between polls of a service that neither waits nor sends Retry-After
_HELD_S = 0.5  # a 304 sooner than this was not held, whatever its headers say: a cache answered


class Client:
    """Reads and controls jobs with one API key over one persistent connection. Not thread-safe.

    `url` is http or https, with a base path if the service has one. `timeout_s` limits connecting and each
    wait for data; `give_up_s` is how long `watch` retries transient errors; both are in seconds. The key is sent
    to `url` only: redirects and proxy variables are ignored, and no message contains it. Raises InvalidValue.

        client = Client("https://api.example.com/imports", api_key="…", timeout_s=5)
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 10.0, give_up_s: float = 60.0) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise InvalidValue("api_key is empty or has characters that a header cannot carry")
        if not (0 < timeout_s < 1e6 and give_up_s >= 0):
            raise InvalidValue(f"timeout_s {timeout_s!r} must be above 0, give_up_s {give_up_s!r} at least 0")
        self._connection, self._origin, self._base = _address(url, timeout_s)
        self._headers = {"Authorization": f"Bearer {api_key}", "User-Agent": "batchstatus"}
        self._timeout_s, self._give_up_s = timeout_s, give_up_s

    def get(self, job_id: str) -> Job:
        """Returns the job, by one poll.

        Raises JobNotFound, Refused, or ServiceUnavailable for any other answer or none.

            client.get("0199…").status   # <Status.RUNNING: 'running'>
        """
        with self._answer(self._path(job_id)) as response:
            return answers.read(response, answers.job)

    def wire(self, job_id: str) -> dict[str, Any]:
        """Returns the job exactly as on the wire, including members that this version does not know.

        Raises the errors of `get`; an incomplete job is one of them.

            client.wire("0199…")["totalItems"]   # 1000
        """
        with self._answer(self._path(job_id)) as response:
            return answers.read(response, lambda body: {**body["job"], "jobId": answers.job(body).job_id})

    def history(self, **asked: str | int | None) -> dict[str, Any]:
        """Returns a page of the organization's jobs, newest first, as on the wire.

        `asked` are the query parameters of the route: `kind`, `status`, `createdAfter`, `createdBefore`, `limit`,
        `cursor`. `nextCursor` is None on the last page. Raises Refused, ServiceUnavailable, and InvalidValue that
        names each bad parameter and why.

            client.history(status="failed,interrupted", limit=100)["jobs"]
        """
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        with self._answer(f"{self._base}/batch-import/jobs?{query}") as response:
            return answers.read(response, lambda body: {**body, "jobs": answers.typed(body["jobs"], list)})

    def failures(self, job_id: str) -> dict[str, Any]:
        """Returns the job's counters and first 500 failed rows, one consistent snapshot, as on the wire.

        Raises the errors of `get`.

            client.failures("0199…")["failuresTotal"]   # 3
        """
        with self._answer(self._path(job_id, "?include=failures")) as response:
            return answers.read(response, lambda body: {**body, "failures": answers.typed(body["failures"], list)})

    def failures_csv(self, job_id: str, file: BinaryIO) -> None:
        """Write every stored failed row to `file` as UTF-8 CSV, piece by piece. Raises the errors of `get`.

        The file is complete only if this method returns: a cut connection raises ServiceUnavailable.

            with open("failures.csv", "wb") as file:
                client.failures_csv("0199…", file)
        """
        route = f"{_ROUTES[self.get(job_id).kind]}-jobs"
        with self._answer(self._path(job_id, "/failures.csv", route)) as response:
            answers.expect(response, "text/csv")
            if response.length is None and not response.chunked:
                raise answers.Transient(
                    f"{response.url}: neither length nor chunks, so a cut would not be noticed"
                )
            for piece in answers.pieces(response):
                file.write(piece)

    def control(self, job_id: str, action: Action | str) -> Job:
        """Request `pause`, `resume` or `cancel`, and return the job afterwards.

        One poll finds the job's kind first. The request is sent once; repeating the call is safe. Raises the
        errors of `get`, and InvalidTransition if the job has ended.

            client.control("0199…", "cancel").metadata   # {"batchCancelRequested": True}
        """
        body = json.dumps({"kind": self.get(job_id).kind, "action": action})
        with self._answer(self._path(job_id, "/control"), body=body) as response:
            return answers.read(response, answers.job)

    def watch(self, job_id: str, progress_s: float | None = None) -> Iterator[Job]:
        """Yield the job now, and again after each change, until its status is terminal.

        A change is one of the status or the control flags; with `progress_s`, the counters are read at that
        interval (seconds) too. A heartbeat is not a change. Raises InvalidValue, JobNotFound, Refused, and
        ServiceUnavailable once transient errors have lasted `give_up_s`. The loop may be left early.

            for job in client.watch("0199…", progress_s=1):
                print(f"{job.done} of {job.total_items}")
        """
        if progress_s is not None and not progress_s > 0:
            raise InvalidValue(f"progress_s {progress_s!r} must be above 0")
        longest_s = _LONGEST_S if progress_s is None else min(progress_s, _LONGEST_S)
        path, seen, etag = self._path(job_id), None, None
        with self:  # closes the connection when the caller stops iterating
            while True:
                job, etag, pause_s = self._persist(path, etag, max(1, int(longest_s)) if etag else 0)
                shown = job and replace(job, heartbeat_at=None, lease_expires_at=None)
                if job and shown != seen:
                    seen = shown
                    yield job
                    if job.terminal:
                        return
                sleep(min(pause_s, longest_s))

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, job_id: str, rest: str = "", route: str = "jobs") -> str:
        if not job_id.strip("."):  # "", "." and ".." cannot be path segments, and no job has such an id
            raise JobNotFound(f"{self._origin}{self._base}: no job can have the id {job_id!r}")
        return f"{self._base}/batch-import/{route}/{quote(job_id, safe='', errors='replace')}{rest}"

    def _persist(self, path: str, etag: str | None, wait_s: int) -> tuple[Job | None, str | None, float]:
        """Poll until a poll succeeds. Only the first attempt waits, since a proxy may cut long requests only."""
        since, attempt = monotonic() + wait_s, 0
        while True:
            try:
                return self._poll(path, etag, 0 if attempt else wait_s)
            except answers.Transient as error:
                since = min(since, monotonic())
                left_s = since + self._give_up_s - monotonic()
                if left_s <= 0:
                    raise ServiceUnavailable(f"{error}; nothing better for {self._give_up_s:g} s") from error
                jitter_s = uniform(0, min(5.0, 0.25 * 2 ** min(attempt, 5)))
                sleep(min(left_s, error.retry_after_s + jitter_s))
                attempt += 1

    def _poll(self, path: str, etag: str | None, wait_s: int) -> tuple[Job | None, str | None, float]:
        """Returns the job (None if unchanged), its entity tag, and the pause in seconds before the next poll.

        There is no pause after a poll that waited, nor after the first entity tag, which lets the next poll wait.
        """
        extra, started = {"If-None-Match": etag} if etag else {}, monotonic()
        if wait_s:
            extra["Prefer"] = f"wait={wait_s}"
        with self._answer(path, extra, wait_s) as response:
            job = None if response.status == 304 else answers.read(response, answers.job)
        applied = "wait" in response.headers.get("Preference-Applied", "").lower()
        held = applied and (job is not None or monotonic() - started >= _HELD_S)
        tag = response.headers.get("ETag", None if job else etag)
        at_once = tag and (held or not etag)
        return job, tag, 0.0 if at_once else max(1.0, answers.retry_after_s(response, _PACE_S))

    @contextmanager
    def _answer(
        self, path: str, extra: Mapping[str, str] = {}, wait_s: int = 0, body: str | None = None
    ) -> Iterator[HTTPResponse]:
        """Yield the usable answer to a GET, or to a POST of `body`. Any failure closes the connection."""
        try:
            with self._send(path, extra, wait_s, body) as response:
                if response.status != 200 and not (response.status == 304 and "If-None-Match" in extra):
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
            method = "GET" if body is None else "POST"
            connection.request(method, path, body, headers={**self._headers, **extra})
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            if kept and not isinstance(error, TimeoutError):
                return self._send(path, extra, wait_s, body)
            raise answers.Transient(f"{self._origin}{path}: no answer ({error!r})") from error
        response.url = f"{self._origin}{path}"
        return response


def _address(url: str, timeout_s: float) -> tuple[HTTPConnection, str, str]:
    """Returns an unopened connection to the URL's host, the URL up to its path, and its path."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        connection = _SCHEMES[parts.scheme](host, parts.port, timeout=timeout_s)
        base = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        fits = host and not (parts.query or parts.fragment or "@" in parts.netloc)
    except (ValueError, LookupError, HTTPException):
        fits = False
    if not fits:
        raise InvalidValue(f"url {re.sub('//.*@', '//…@', url)!r} is not like https://host[:port][/path]")
    return connection, f"{parts.scheme}://{parts.netloc}", base
