"""Reads the lists of a job's failed and skipped rows, and notices when the store has lost some of them."""

import logging
from collections.abc import Iterator
from typing import Any

from batchstatus.jobs.reader import Reader
from batchstatus.model import rows
from batchstatus.model.errors import JobNotFound, RowsLost, StoreUnavailable
from batchstatus.model.job import Job, Outcome, Row
from batchstatus.model.keys import JobKeys
from batchstatus.model.kinds import JobKind
from batchstatus.protocol import hashes
from batchstatus.protocol.rows_of_parts import RowsOfParts, rows_of_parts
from batchstatus.transport.connection import Connection

_log = logging.getLogger(__name__)


class Lists:
    """The failed and skipped rows of one job."""

    def __init__(self, connection: Connection, reader: Reader, org: str, job_id: str) -> None:
        self._connection, self._reader, self._org, self._job_id = connection, reader, org, job_id
        self._keys = connection.keys.job(org, job_id)
        self._parts = connection.keys.parts(org, job_id)
        self._max_rows, self._kinds = connection.settings.max_rows, connection.settings.kinds

    def outcome(self, limit: int) -> Outcome:
        """Returns the job with its first `limit` failed and skipped rows, all of one moment."""
        keys = self._keys
        lists = (("LRANGE", keys.failures, 0, limit - 1), ("LRANGE", keys.skips, 0, limit - 1))
        job, (failures, skips, *stored) = self._read(*lists, *_stored(keys))
        lost = None
        if job.parts:
            job, found = self._of_parts(job.parts, 0, limit)
            failures, skips, lost = found.failures, found.skips, found.lost
        kind = self._kinds[job.kind]
        return Outcome(
            job=job,
            failures=tuple(rows.decode(kind, each) for each in failures),
            skips=tuple(rows.decode(kind, each, skipped=True) for each in skips),
            rows_lost=sum(self._lost(job, *stored) if lost is None else lost),
        )

    def failures(self, start: int, limit: int) -> list[Row]:
        """Returns at most `limit` failed rows, from number `start` on (the first is 0)."""
        job, (page,) = self._read(("LRANGE", self._keys.failures, start, start + limit - 1))
        if job.parts:
            job, found = self._of_parts(job.parts, start, limit)
            page = found.failures
        kind = self._kinds[job.kind]
        return [rows.decode(kind, each) for each in page]

    def pages(self, page: int) -> tuple[Job, Iterator[list[Row]]]:
        """Returns the job, and all failed rows that are stored now, `page` at a time.

        StoreUnavailable for a page that cannot be read; RowsLost after the last one if the store has lost some.
        """
        job, stored = self._read(*_stored(self._keys))
        if job.parts:
            job, found = self._of_parts(job.parts, 0, 0)
            return job, self._pages_of_parts(job, found.stored, found.lost[0], page)
        lost, _ = self._lost(job, *stored)
        return job, self._pages(int(stored[0]), lost, page)

    def _read(self, *others: tuple[Any, ...]) -> tuple[Job, list[Any]]:
        return self._reader.read(self._org, self._job_id, *others)

    def _pages(self, stored: int, lost: int, page: int) -> Iterator[list[Row]]:
        for start in range(0, stored, page):
            limit = min(page, stored - start)
            try:
                found = self.failures(start, limit)
            except JobNotFound:
                found = []
            if len(found) < limit:
                raise StoreUnavailable(f"failed rows {start} to {start + limit} of job {self._job_id} are gone")
            yield found
        if lost:
            raise RowsLost(f"the store has lost {lost:,} failed rows of job {self._job_id}")

    def _of_parts(self, parts: int, start: int, limit: int) -> tuple[Job, RowsOfParts]:
        found = rows_of_parts(self._connection, self._parts, parts, start, limit)
        return hashes.decode(found.job, self._kinds), self._logged(found)

    def _pages_of_parts(self, job: Job, stored: list[int], lost: int, page: int) -> Iterator[list[Row]]:
        """Page through the rows of each part that are stored now, whatever its worker adds meanwhile."""
        kind, reads = self._kinds[job.kind], list[tuple[Any, ...]]()
        room = page
        for number, many in enumerate(stored, 1):
            key = self._parts.part(number).failures
            start = 0
            while start < many:
                end = min(many, start + room)
                reads.append(("LRANGE", key, start, end - 1))
                room, start = room - (end - start), end
                if not room:
                    yield self._page_of_parts(kind, reads)
                    reads, room = [], page
        if reads:
            yield self._page_of_parts(kind, reads)
        if lost:
            raise RowsLost(f"the store has lost {lost:,} failed rows of job {self._job_id}")

    def _page_of_parts(self, kind: JobKind, reads: list[tuple[Any, ...]]) -> list[Row]:
        answers = self._connection.transaction(*reads)
        for (_, key, start, last), answer in zip(reads, answers, strict=True):
            if len(answer) <= last - start:
                raise StoreUnavailable(f"failed rows {start} to {last + 1} of {key} are gone")
        return [rows.decode(kind, each) for answer in answers for each in answer]

    def _logged(self, found: RowsOfParts) -> RowsOfParts:
        """Returns what was found, and logs it if rows are gone."""
        if any(found.lost):
            _log.error("%s: %d failed and %d skipped rows that were stored are gone", self._keys.job, *found.lost)
        return found

    def _lost(self, job: Job, failures: int, skips: int, max_rows: bytes | None) -> tuple[int, int]:
        """Returns how many failed and skipped rows are gone: they were stored, and are not there.

        `max_rows` is the limit of stored rows that a worker has met; without one, all rows were stored.
        """
        most = int(max_rows) if max_rows and max_rows.isdigit() else self._max_rows
        lost = max(0, min(job.failed, most) - failures), max(0, min(job.skipped, most) - skips)
        if any(lost):
            _log.error("%s: %d failed and %d skipped rows that were stored are gone", self._keys.job, *lost)
        return lost


def _stored(keys: JobKeys) -> tuple[tuple[str, ...], ...]:
    """Returns the reads that tell how many rows are stored, and whether a limit has kept others out."""
    return ("LLEN", keys.failures), ("LLEN", keys.skips), ("HGET", keys.job, "maxRows")
