"""The store: the only door to jobs in Redis, for workers and for the service."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from batchstatus import rows, values
from batchstatus.apikeys import ApiKeys
from batchstatus.errors import InvalidValue, JobNotFound, StoreUnavailable
from batchstatus.ids import new_job_id
from batchstatus.jobs.history import page
from batchstatus.jobs.index import Filter, Index
from batchstatus.jobs.reader import Reader
from batchstatus.jobs.transitions import Transitions
from batchstatus.messages import Content
from batchstatus.model import MAX_PAGE, Action, Job, Kind, Outcome, Page, Row, Status
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.transport.urls import RedisClient, opener
from batchstatus.worker.options import RunOptions
from batchstatus.worker.run import Run

Rows: TypeAlias = list[Row]  # an alias, because JobStore has a method `list`


class JobStore:
    """Jobs in Redis. Every method may raise StoreUnavailable, and InvalidValue for ids that cannot be.

    - `api_keys`: the API keys of all organizations.
    - `settings`: how the store is used.
    - `connection` and `reader`: for the service and the reaper, which need more than a worker does.
    """

    def __init__(
        self,
        client: RedisClient | Callable[[], RedisClient],
        settings: StoreSettings | None = None,
        connect: type[Connection] = Connection,
    ) -> None:
        self.connection = connect(client, settings)
        self.settings = self.connection.settings
        self.reader = Reader(self.connection)
        self.api_keys = ApiKeys(self.connection)
        self._keys = self.connection.keys
        self._index = Index(self.connection)

    @classmethod
    def open(cls, url: str, settings: StoreSettings, connect: type[Connection] = Connection) -> "JobStore":
        """Returns a store at this URL; nothing is sent before the first call."""
        return cls(opener(url, settings), settings, connect)

    def create(
        self,
        org: str,
        kind: Kind | str,
        *,
        total_items: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        takeover_s: float = 0,
    ) -> Job:
        """Make a `queued` job and return it.

        With a `job_id` of your own a create is idempotent: the same id with the same content returns the job that
        was made first, with other content it raises JobExists. With `takeover_s` > 0 another worker may take the
        job over for that many seconds after the lease of its worker ran out.

            job = store.create("org_acme", "transaction_batch", metadata={"fileName": "november.csv"})
        """
        content = Content.checked(kind, total_items, metadata, takeover_s)
        if content.takeover_ms > self.settings.retention_ms:
            raise InvalidValue(f"takeover_s {takeover_s!r} is longer than the retention")
        return self._transitions(org, new_job_id() if job_id is None else job_id).create(content)

    def run(
        self,
        org: str,
        job_id: str,
        wait_s: float = RunOptions.wait_s,
        stall_s: float | None = RunOptions.stall_s,
        *,
        give_up_s: float = RunOptions.give_up_s,
        flush_s: float = RunOptions.flush_s,
        flush_rows: int = RunOptions.flush_rows,
        max_waiting_rows: int = RunOptions.max_waiting_rows,
    ) -> Run:
        """Returns a run of the job, to be entered with `with`; see Run for an example.

        - `wait_s`: how long claiming waits for another worker's lease to run out (seconds). A store that does not
          answer is asked again for at least 5 s, because it may have granted the claim, before StoreUnavailable.
        - `stall_s`: without a call for this long the lease is no longer renewed (seconds; None: always renewed).
        - `give_up_s`: how long leaving waits for a store that is away, before StoreUnavailable says which rows
          were not delivered (seconds).
        - `flush_s`: how often counted rows are reported (seconds).
        - `flush_rows`: how many waiting failed and skipped rows are reported sooner.
        - `max_waiting_rows`: how many failed and skipped rows may wait in memory; beyond that, counting blocks.
        """
        options = RunOptions(
            wait_s=wait_s,
            stall_s=stall_s,
            give_up_s=give_up_s,
            flush_s=flush_s,
            flush_rows=flush_rows,
            max_waiting_rows=max_waiting_rows,
        )
        return Run(self._transitions(org, job_id), options)

    def get(self, org: str, job_id: str) -> Job:
        """Returns the job as it stands, settled if its worker is dead. JobNotFound if there is none."""
        job, _ = self.reader.read(org, job_id)
        return job

    def get_many(self, org: str, job_ids: Sequence[str]) -> dict[str, Job]:
        """Returns the jobs that there are, by id; one round trip (in a Cluster, one for each server)."""
        return self.reader.read_many(org, job_ids)

    def list(
        self,
        org: str,
        *,
        kinds: Iterable[Kind | str] | None = None,
        statuses: Iterable[Status | str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page:
        """Returns a page of the organization's jobs, newest first, at most `limit` (1 to 100) of them.

        Only jobs of these kinds, in one of these statuses, created between the two times (aware, both excluded).
        For the next page pass the `next_cursor` of this page and otherwise the same arguments: no job is skipped
        or repeated, whatever is created, ends and expires meanwhile. A damaged job is left out, and logged.

            page = store.list("org_acme", statuses=["failed", "interrupted"])
        """
        wanted = Filter(
            kinds=values.members("kind", Kind, kinds),
            statuses=values.members("status", Status, statuses),
            after_ms=values.time_as_ms("created_after", created_after),
            before_ms=values.time_as_ms("created_before", created_before, up=True),
        )
        most = values.count("limit", limit, least=1, most=MAX_PAGE)
        return page(self._index, self.reader, org, wanted, most, cursor)

    def outcome(self, org: str, job_id: str, limit: int = 500) -> Outcome:
        """Returns the job with its first `limit` failed and skipped rows, all of one moment."""
        keys, last = self._keys.job(org, job_id), values.count("limit", limit, least=1) - 1
        lists = (("LRANGE", keys.failures, 0, last), ("LRANGE", keys.skips, 0, last))
        job, (failures, skips) = self.reader.read(org, job_id, *lists)
        return Outcome(
            job=job,
            failures=tuple(rows.decode(job.kind, each) for each in failures),
            skips=tuple(rows.decode(job.kind, each, rows.SKIPPED) for each in skips),
        )

    def failures(self, org: str, job_id: str, start: int = 0, limit: int = 500) -> Rows:
        """Returns at most `limit` stored failed rows, from number `start` on (the first is 0)."""
        keys = self._keys.job(org, job_id)
        first = values.count("start", start)
        last = first + values.count("limit", limit, least=1) - 1
        job, (page,) = self.reader.read(org, job_id, ("LRANGE", keys.failures, first, last))
        return [rows.decode(job.kind, each) for each in page]

    def failure_pages(self, org: str, job_id: str, page: int = 1_000) -> tuple[Job, Iterator[Rows]]:
        """Returns the job, and all failed rows that are stored now, `page` at a time: memory stays flat.

        JobNotFound and the like are raised here, before the first page; StoreUnavailable by a page that cannot be
        read, also because the job expired meanwhile: the pages before it are then not all.
        """
        keys = self._keys.job(org, job_id)
        job, (stored,) = self.reader.read(org, job_id, ("LLEN", keys.failures))
        return job, self._pages(org, job_id, int(stored), values.count("page", page, least=1))

    def settle(self, org: str, job_id: str) -> Job:
        """Look whether a running job's worker is dead, and return the job as it stands after the look.

        Past the lease two looks, `grace_s` apart, settle the job; any sign of life in between starts over.
        """
        self.reader.look(org, job_id)
        return self.get(org, job_id)

    def control(self, org: str, job_id: str, action: Action | str) -> Job:
        """Ask for `pause`, `resume` or `cancel`, and return the job after the action.

        A queued job is cancelled at once; a running job shows the request in its metadata until its worker obeys.
        Repeating an action changes nothing. InvalidTransition if the job has ended.
        """
        checked = values.action(action)
        self.get(org, job_id)  # settles a job whose worker is dead, which then refuses
        return self._transitions(org, job_id).control(checked)

    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers; of a Cluster, one of its primaries is enough."""
        self.connection.ping()

    def close(self) -> None:
        """Close all connections. The store may be used again; the next call opens new ones."""
        self.connection.close()

    def _transitions(self, org: str, job_id: str) -> Transitions:
        return Transitions(self.connection, org, job_id)

    def _pages(self, org: str, job_id: str, stored: int, page: int) -> Iterator[Rows]:
        for start in range(0, stored, page):
            limit = min(page, stored - start)
            try:
                found = self.failures(org, job_id, start, limit)
            except JobNotFound:
                found = []
            if len(found) < limit:
                raise StoreUnavailable(f"failed rows {start} to {start + limit} of job {job_id} are gone")
            yield found
