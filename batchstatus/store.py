"""The store: the only door to jobs in Redis, for workers and for the service."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from batchstatus.apikeys import ApiKeys
from batchstatus.jobs.history import page
from batchstatus.jobs.index import Filter, Index
from batchstatus.jobs.lists import Lists
from batchstatus.jobs.parts import PartTransitions
from batchstatus.jobs.reader import Reader
from batchstatus.jobs.transitions import Transitions
from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.ids import new_job_id
from batchstatus.model.job import MAX_PAGE, MAX_PARTS, Action, Job, Kind, Outcome, Page, Part, Row, Status
from batchstatus.model.messages import Content
from batchstatus.settings import StoreSettings
from batchstatus.tickets import Tickets
from batchstatus.transport.connection import Connection
from batchstatus.transport.urls import RedisClient, opener
from batchstatus.worker.aio import AsyncRun
from batchstatus.worker.options import Exceptions, RunOptions
from batchstatus.worker.run import Run

Rows: TypeAlias = list[Row]  # aliases, because JobStore has a method `list`
Ids: TypeAlias = list[list[str]]


class JobStore:
    """Jobs in Redis. Every method may raise StoreUnavailable, and InvalidValue for ids that cannot be.

    - `api_keys`, `tickets`: the API keys and tickets of all organizations.
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
        self.tickets = Tickets(self.connection)
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
        parts: int | None = None,
    ) -> Job:
        """Make a `queued` job and return it.

        With a `job_id` of your own a create is idempotent: the same id with the same content returns the job that
        was made first, with other content it raises JobExists. With `takeover_s` > 0 another worker may take the
        job over for that many seconds after the lease of its worker ran out. With `parts` (2 to 1,000) the job is
        split, and each part is run by a worker of its own: `run(org, job_id, part=3)`.

            job = store.create("org_acme", "transaction_batch", metadata={"fileName": "november.csv"})
        """
        content = Content.checked(self.settings.kinds, kind, total_items, metadata, takeover_s, parts)
        if content.takeover_ms > self.settings.retention_ms:
            raise InvalidValue(f"takeover_s {takeover_s!r} is longer than the retention")
        return self.steps(org, new_job_id() if job_id is None else job_id).create(content)

    def split(self, org: str, job_id: str, parts: int) -> Job:
        """Split a queued job into `parts` (2 to 1,000), each to be run on its own, and return it.

        The same again changes nothing. InvalidTransition for another number, or once a worker has had the job.
        """
        return self.steps(org, job_id).split(values.count("parts", parts, 2, MAX_PARTS))

    def run(
        self,
        org: str,
        job_id: str,
        wait_s: float = RunOptions.wait_s,
        stall_s: float | None = RunOptions.stall_s,
        *,
        part: int | None = None,
        give_up_s: float = RunOptions.give_up_s,
        flush_s: float = RunOptions.flush_s,
        flush_rows: int = RunOptions.flush_rows,
        max_waiting_rows: int = RunOptions.max_waiting_rows,
        hand_back: Exceptions = RunOptions.hand_back,
    ) -> Run:
        """Returns a run of the job, to be entered with `with`; see Run for an example.

        With `part`, a number from 1 on, a run of one part of a split job. RunOptions explains the other options.
        """
        options = RunOptions(
            wait_s=wait_s,
            stall_s=stall_s,
            give_up_s=give_up_s,
            flush_s=flush_s,
            flush_rows=flush_rows,
            max_waiting_rows=max_waiting_rows,
            hand_back=hand_back,
        )
        return Run(self.steps(org, job_id, part), options)

    def arun(
        self,
        org: str,
        job_id: str,
        wait_s: float = RunOptions.wait_s,
        stall_s: float | None = RunOptions.stall_s,
        *,
        part: int | None = None,
        give_up_s: float = RunOptions.give_up_s,
        flush_s: float = RunOptions.flush_s,
        flush_rows: int = RunOptions.flush_rows,
        max_waiting_rows: int = RunOptions.max_waiting_rows,
        hand_back: Exceptions = RunOptions.hand_back,
    ) -> AsyncRun:
        """Returns a run of the job in asyncio, to be entered with `async with`; the options are those of `run`.

        async with store.arun("org_acme", job.job_id) as run:
            await run.check()
            run.succeeded()
        """
        return AsyncRun(
            self.run(
                org,
                job_id,
                wait_s=wait_s,
                stall_s=stall_s,
                part=part,
                give_up_s=give_up_s,
                flush_s=flush_s,
                flush_rows=flush_rows,
                max_waiting_rows=max_waiting_rows,
                hand_back=hand_back,
            )
        )

    def get(self, org: str, job_id: str) -> Job:
        """Returns the job as it stands, settled if its worker is dead. JobNotFound if there is none."""
        job, _ = self.reader.read(org, job_id)
        return job

    def parts(self, org: str, job_id: str) -> tuple[Part, ...]:
        """Returns the parts of a split job as they stand at one moment; none of a job that is not split."""
        return self.reader.parts(org, job_id)[1]

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
            kinds=values.members("kind", self.settings.kinds.names, kinds),
            statuses=values.members("status", Status, statuses),
            after_ms=values.time_as_ms("created_after", created_after),
            before_ms=values.time_as_ms("created_before", created_before, up=True),
        )
        most = values.count("limit", limit, least=1, most=MAX_PAGE)
        return page(self._index, self.reader, org, wanted, most, cursor)

    def newest(self, orgs: Sequence[str], statuses: Collection[Status], many: int) -> Ids:
        """Returns the ids of each organization's newest jobs in these statuses. They may have gone on."""
        return self._index.newest(orgs, statuses, many)

    def outcome(self, org: str, job_id: str, limit: int = 500) -> Outcome:
        """Returns the job with its first `limit` failed and skipped rows, all of one moment."""
        return self._lists(org, job_id).outcome(values.count("limit", limit, least=1))

    def failures(self, org: str, job_id: str, start: int = 0, limit: int = 500) -> Rows:
        """Returns at most `limit` stored failed rows, from number `start` on (the first is 0)."""
        first, most = values.count("start", start), values.count("limit", limit, least=1)
        return self._lists(org, job_id).failures(first, most)

    def failure_pages(self, org: str, job_id: str, page: int = 1_000) -> tuple[Job, Iterator[Rows]]:
        """Returns the job, and all failed rows that are stored now, `page` at a time: memory stays flat.

        JobNotFound and the like are raised here, before the first page; StoreUnavailable by a page that cannot be
        read, also because the job expired meanwhile: the pages before it are then not all. RowsLost after the last
        page if the store has lost some of the rows.
        """
        return self._lists(org, job_id).pages(values.count("page", page, least=1))

    def settle(self, org: str, job_id: str) -> Job:
        """Look whether a running job's worker is dead, and return the job as it stands after the look.

        Past the lease two looks, `grace_s` apart, settle the job; any sign of life in between starts over.
        """
        self.reader.look(org, job_id)
        return self.get(org, job_id)

    def control(self, org: str, job_id: str, action: Action | str) -> Job:
        """Ask for `pause`, `resume` or `cancel`, and return the job after the action.

        A queued job is cancelled at once; a running job shows the request in its metadata until its worker obeys.
        So is one that awaits another worker. Repeating an action changes nothing. JobEnded if the job has ended.
        """
        checked = values.action(action)
        self.get(org, job_id)  # settles a job whose worker is dead, which then refuses
        return self.steps(org, job_id).control(checked)

    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers; of a Cluster, one of its primaries is enough."""
        self.connection.ping()

    def close(self) -> None:
        """Close all connections. The store may be used again; the next call opens new ones."""
        self.connection.close()

    def steps(self, org: str, job_id: str, part: int | None = None) -> Transitions:
        """Returns the steps of a job's life, for the service, which takes them for workers that speak HTTP."""
        if part is not None:
            return PartTransitions(self.connection, org, job_id, part)
        return Transitions(self.connection, org, job_id)

    def _lists(self, org: str, job_id: str) -> Lists:
        return Lists(self.connection, self.reader, org, job_id)
