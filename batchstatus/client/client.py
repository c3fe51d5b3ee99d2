"""A polling client for callers of the HTTP API, written with the standard library only.

    with Client("https://api.example.com", api_key="…") as client:
        for job in client.watch("0199…"):
            print(job.status, job.succeeded, job.total_items)

An answer is either usable, a permanent error (refused key, unknown job, redirect, rejected request) or a
transient one: no answer at all, a 5xx or 429, or a page that batchstatus did not write, such as a proxy's.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from random import uniform
from time import monotonic, sleep
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from batchstatus.client import answers, events
from batchstatus.client.running import Running
from batchstatus.model.errors import InvalidValue, ServiceUnavailable
from batchstatus.model.job import Action, Job, Kind
from batchstatus.model.kinds import PUBLISHED

_LONGEST_S = answers.LONGEST_S  # the longest wait that is requested
_PACE_S = 2.0  # the pause between polls of a service that neither waits nor sends Retry-After
_PROGRESS = "?include=progress"
_HELD_S = 0.5  # a 304 sooner than this was not held, whatever its headers say: a cache answered


class Client(Running):
    """Reads, controls, creates and runs jobs with one API key over one persistent connection. Not thread-safe.

    `url` is http or https, with a base path if the service has one. `timeout_s` limits connecting and each
    wait for data; `give_up_s` is how long `watch` retries transient errors; both are in seconds. The key is sent
    to `url` only: redirects and proxy variables are ignored, and no message contains it. Raises InvalidValue.

        client = Client("https://api.example.com/imports", api_key="…", timeout_s=5)
    """

    def get(self, job_id: str, *, progress: bool = False) -> Job:
        """Returns the job, by one poll; with `progress`, the job's `progress` as the service knows it.

        Without it, and where the service is too old for it, all of `progress` is None. Raises JobNotFound,
        Refused, or ServiceUnavailable for any other answer or none: `client.get("0199…").status`.
        """
        try:
            with self._answer(self._path(job_id, _PROGRESS if progress else "")) as response:
                return answers.read(response, answers.job)
        except InvalidValue:
            if not progress:
                raise
        return self.get(job_id)

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

    def failures_csv(self, job_id: str, file: BinaryIO, path: str | None = None) -> None:
        """Write every stored failed row to `file` as UTF-8 CSV, piece by piece. Raises the errors of `get`.

        The file is complete only if this method returns: a cut connection raises ServiceUnavailable. `path` is the
        kind's, such as `product-jobs`; without it one poll finds the kind, and for a kind that is not published
        the service's `/openapi.json` finds the path.

            with open("failures.csv", "wb") as file:
                client.failures_csv("0199…", file)
        """
        found = self._path_of(self.get(job_id).kind) if path is None else quote(path, safe="")
        with self._answer(self._path(job_id, "/failures.csv", found)) as response:
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

        A change is one of the status or the control flags; with `progress_s`, of the counters too: `events` tells
        of them, or polls every `progress_s` seconds, where the service has no events. A heartbeat is no change.
        Raises InvalidValue, and the errors of `events`. The loop may be left early.

            for job in client.watch("0199…", progress_s=1):
                print(f"{job.done} of {job.total_items}")
        """
        if progress_s is not None and not progress_s > 0:
            raise InvalidValue(f"progress_s {progress_s!r} must be above 0")
        heard = None
        try:
            if progress_s is not None:
                for heard in self._events(job_id, patience_s=0.0):
                    yield heard
        except ServiceUnavailable:
            if heard is not None:
                raise
        if heard is None:
            yield from self._polled(job_id, progress_s)

    def _polled(self, job_id: str, progress_s: float | None) -> Iterator[Job]:
        """Yield the job by polls that wait."""
        longest_s = _LONGEST_S if progress_s is None else min(progress_s, _LONGEST_S)
        path = self._path(job_id, "" if progress_s is None else _PROGRESS)
        seen = etag = None
        with self:  # closes the connection when the caller stops iterating
            while True:
                try:
                    job, etag, pause_s = self._persist(path, etag, max(1, int(longest_s)) if etag else 0)
                except InvalidValue:  # the service is too old to know of progress
                    if path == self._path(job_id):
                        raise
                    path = self._path(job_id)
                    continue
                shown = job and replace(job, heartbeat_at=None, lease_expires_at=None)
                if job and shown != seen:
                    seen = shown
                    yield job
                    if job.terminal:
                        return
                sleep(min(pause_s, longest_s))

    def events(self, job_id: str) -> Iterator[Job]:
        """Yield the job now, and again at each change, over one request, until its status is terminal.

        Each job has its `progress`. A stream that breaks off is asked for again, and goes on where it was. Raises
        JobNotFound, Refused, and ServiceUnavailable once transient errors have lasted `give_up_s`.

            seconds = [job.progress.seconds_left for job in client.events("0199…")]
        """
        return self._events(job_id, self._give_up_s)

    def ticket(self, job_id: str | None = None, seconds: int = 900) -> tuple[str, datetime]:
        """Returns a ticket for a browser, and when it expires. It reads this job, or all jobs, and does no more.

        `seconds` is its lifetime, up to a day. Raises the errors of `get`, and InvalidValue.

            ticket, expires_at = client.ticket("0199…", seconds=3600)
        """
        asked = {"jobId": job_id, "seconds": seconds} if job_id is not None else {"seconds": seconds}
        path = f"{self._base}/batch-import/tickets"
        with self._answer(path, body=json.dumps(asked)) as response:
            return answers.read(response, answers.ticket)

    def _events(self, job_id: str, patience_s: float) -> Iterator[Job]:
        """Yield from streams, one after the other. Before the first event, errors are borne for `patience_s`."""
        path, tag, since, attempt = self._path(job_id, "/events"), "", None, 0
        with self._another() as calling:
            while True:
                try:
                    known = {"Last-Event-ID": tag} if tag else {}
                    with calling._answer(path, known, events.SILENCE_S) as response:
                        since = None
                        for told, job in events.jobs(response, tag):
                            tag, attempt, patience_s = told, 0, self._give_up_s
                            yield job
                            if job.terminal:
                                return
                        if response.status == 204:
                            return
                except answers.Transient as error:
                    since = monotonic() if since is None else since
                    self._pause(error, since + patience_s, attempt)
                    attempt += 1

    def _path_of(self, kind: str) -> str:
        """Returns the part of the path under which the service has the failed rows of a kind."""
        if isinstance(kind, Kind):
            return PUBLISHED[kind].path
        with self._answer(f"{self._base}/openapi.json") as response:
            return answers.read(response, lambda body: answers.path_of(body, kind))

    def _persist(self, path: str, etag: str | None, wait_s: int) -> tuple[Job | None, str | None, float]:
        """Poll until a poll succeeds. Only the first attempt waits, since a proxy may cut long requests only."""
        since, attempt = monotonic() + wait_s, 0
        while True:
            try:
                return self._poll(path, etag, 0 if attempt else wait_s)
            except answers.Transient as error:
                since = min(since, monotonic())
                self._pause(error, since + self._give_up_s, attempt)
                attempt += 1

    def _pause(self, error: answers.Transient, until: float, attempt: int) -> None:
        """Sleep before another attempt. Raises ServiceUnavailable once it is too late for one."""
        left_s = until - monotonic()
        if left_s <= 0:
            raise ServiceUnavailable(f"{error}; nothing better for {self._give_up_s:g} s") from error
        jitter_s = uniform(0, min(5.0, 0.25 * 2 ** min(attempt, 5)))
        sleep(min(left_s, error.retry_after_s + jitter_s))

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
