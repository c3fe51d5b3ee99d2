"""Event streams: what has changed of a job, or of an organization's jobs, rendered once for all who listen.

A listener has no queue. It remembers how far it has come, and is given the newest of each job that has changed
since: one that reads slowly misses what lies between, and costs no memory.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from batchstatus.model.job import MAX_PAGE, Job, Status
from batchstatus.model.messages import JobKey, Seen
from batchstatus.web.live.listeners import Listener, Listeners
from batchstatus.web.live.news import Entry, News, event_of, tag_of
from batchstatus.web.live.ticking import Looks, Ticks, wake

LEAST_S = 0.25
"""The least time between two events of one job: at most 4 a second."""
MEMBERS_S = 0.3
"""How often to look for jobs that are new in an organization."""
AT_ONCE = 4
"""Jobs to read in one trip and to render: others have their turn before the next."""

OPEN = (Status.QUEUED, Status.RUNNING)


class Feed:
    """The open streams of this process, and each job's newest event. `on_change` gets the number of streams."""

    def __init__(self, ticks: Ticks, on_change: Callable[[int], None]) -> None:
        self.ticks = ticks
        self._on_change = on_change
        self._listeners = Listeners()
        self._stale = False
        self._entries: dict[JobKey, Entry] = {}
        self._members: dict[str, list[JobKey]] = {}
        self._brought: set[JobKey] = set()
        self._changing = threading.Lock()
        self._members_at = 0.0
        self.last, self._telling = 0, threading.Lock()
        self._checked: set[str] = set()
        self._lost_at: float | None = None
        ticks.join(self)

    def __len__(self) -> int:
        return len(self._listeners)

    @contextmanager
    def listening(self, listener: Listener, jobs: Iterable[Job]) -> Iterator[bool]:
        """Add a listener, and what it is to be told first. Yields False if there is no room for it."""
        with self.ticks.entering:
            if not self.ticks.has_room():
                yield False
                return
            self._listeners.add(listener)
        try:
            self._on_change(len(self._listeners))
            listener.first = {self._enter(listener.org, job, member=listener.job_id is None) for job in jobs}
            self._stale = True
            yield self.ticks.start()
        finally:
            with self.ticks.entering:
                self._listeners.remove(listener)
                if not self._listeners:  # what was known grows old: nobody looks any more
                    with self._changing:
                        self._entries, self._members = {}, {}
            self._stale = True
            self._on_change(len(self._listeners))

    def newest(self, org: str) -> list[Job]:
        """Returns the newest jobs of an organization that have not ended, the newest last."""
        (found,) = self.ticks.store.newest([org], OPEN, MAX_PAGE)
        jobs = self.ticks.store.reader.read_each([(org, job_id) for job_id in found])
        return [job for job in reversed(jobs) if isinstance(job, Job) and not job.terminal]

    def news(self, listener: Listener) -> list[News]:
        """Returns what the listener does not know yet, the oldest first. It is taken for known from here on."""
        last, first = self.last, listener.first or ()
        known = listener.known if first else None
        jobs = {*self._jobs_of(listener), *first} if first else self._jobs_of(listener)
        found = [(job, entry.news) for job in jobs if (entry := self._entries.get(job))]
        new = sorted(news for job, news in found if job in first or news.number > listener.number)
        listener.number, listener.first = last, None
        # What is told from now on, while these are gathered, is for the next time.
        return [each for each in new if each.number <= last and each.tag != known]

    def is_lost(self, seconds: float) -> bool:
        """Returns True if the store could not be asked for so long."""
        return self._lost_at is not None and time.monotonic() - self._lost_at >= seconds

    @contextmanager
    def checking(self, secret: str | None) -> Iterator[bool]:
        """Yields False if another listener with this secret is being checked, whose check serves for this one."""
        if secret in self._checked:
            yield False
            return
        if secret:
            self._checked.add(secret)
        try:
            yield True
        finally:
            self._checked.discard(secret or "")

    def wanted(self) -> Iterable[JobKey]:
        """The jobs to look at: those of the listeners, not more often than LEAST_S each."""
        now, orgs = time.monotonic(), self._listeners.orgs()
        if orgs and now >= self._members_at:
            self._members_at = now + MEMBERS_S
            self._find_members(orgs)
        if self._stale:
            self._tidy()
        return [job for job, each in list(self._entries.items()) if each.may_be_read(now)]

    def tell(self, looks: Looks) -> None:
        """Read and render the jobs that have changed, and wake those who listen to them."""
        self._lost_at = None
        self._tell_brought()
        entries, now = self._entries, time.monotonic()
        new = sorted(
            (0 if look is None else look.created_ms, job)
            for job, look in looks.items()
            if (entry := entries.get(job)) and entry.may_be_read(now) and not _is_known(entry, look)
        )
        changed = [job for _, job in new]  # in the order of their creation
        self._looked(looks.keys() - changed)
        orgs: set[str] = set()
        try:
            for start in range(0, len(changed), AT_ONCE):
                some = changed[start : start + AT_ONCE]
                self._render(some)
                self._looked(some)
                orgs.update(org for org, _ in some)
                wake(each.woken for job in some for each in self._listeners.to(job))
        finally:  # those of an organization once, not for each few of its jobs; also if the store is away by now
            wake(each.woken for org in orgs for each in self._listeners.to((org, None)))
        wake(each.woken for each in self._listeners.due(time.monotonic()))

    def lost(self) -> None:
        """Note since when the store cannot be asked, and wake those whose time has come."""
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        self._tell_brought()
        wake(each.woken for each in self._listeners.due(now))

    def let_go(self) -> None:
        """Wake everyone."""
        wake(each.woken for each in self._listeners.all())

    def _jobs_of(self, listener: Listener) -> Sequence[JobKey]:
        if listener.job_id is not None:
            return ((listener.org, listener.job_id),)
        return self._members.get(listener.org, ())

    def _enter(self, org: str, job: Job, *, member: bool) -> JobKey:
        """Take a job as it was read a moment ago, unless it is known; returns its key."""
        key = (org, job.job_id)
        with self._changing:
            if member:
                self._members[org] = list({*self._members.get(org, ()), key})
            entry = self._entries.setdefault(key, Entry())
        if job.created_ms != entry.created_ms or job.rev > entry.rev:  # else another's look was later
            self._note(entry, job)
            self._brought.add(key)
        return key

    def _tell_brought(self) -> None:
        """Wake those who listen already to jobs that newcomers have read: no look finds them changed any more."""
        brought, self._brought = self._brought, set()
        subjects = {*brought, *((org, None) for org, _ in brought)}
        wake(each.woken for subject in subjects for each in self._listeners.to(subject))

    def _tidy(self) -> None:
        """Have an entry for each job that anybody listens to, and for no other."""
        self._stale = False  # first: who comes meanwhile has it done once more
        with self._changing:
            orgs = {*self._listeners.orgs()}
            self._members = {org: jobs for org, jobs in self._members.items() if org in orgs}
            jobs = {*self._listeners.jobs(), *chain.from_iterable(self._members.values())}
            self._entries = {job: self._entries.get(job) or Entry() for job in jobs}

    def _find_members(self, orgs: Sequence[str]) -> None:
        """Look which jobs of these organizations have not ended. Those that end stay until all have heard."""
        now = time.monotonic()
        for org, newest in zip(orgs, self.ticks.store.newest(orgs, OPEN, MAX_PAGE), strict=True):
            heard = min((each.number for each in self._listeners.to((org, None))), default=0)
            there = dict.fromkeys((org, job_id) for job_id in newest)
            with self._changing:
                members = self._members.get(org, [])
                for job in members:
                    if job in there and job in self._entries:
                        self._entries[job].left_at = None
                leaving = [job for job in members if job not in there and self._is_due(job, heard, now)]
                self._members[org] = [*there, *leaving]
                if self._members[org] != members:
                    self._stale = True

    def _is_due(self, job: JobKey, heard: int, now: float) -> bool:
        """Returns True if a job that left the newest has ended and not all have heard, or no look says so yet."""
        entry = self._entries.get(job)
        if entry is None:
            return True
        if entry.news.ended:
            return entry.news.number > heard
        entry.left_at = entry.left_at or now
        return entry.looked_at <= entry.left_at

    def _looked(self, jobs: Iterable[JobKey]) -> None:
        """Note that the events of these jobs are the newest there are."""
        now = time.monotonic()
        for job in jobs:
            if entry := self._entries.get(job):
                entry.looked_at = now

    def _render(self, jobs: Sequence[JobKey]) -> None:
        for key, job in zip(jobs, self.ticks.store.reader.read_each(jobs), strict=True):
            entry = self._entries.get(key) or Entry()
            entry.not_before = time.monotonic() + LEAST_S
            if isinstance(job, Job):
                self._note(entry, job)
            else:
                self._tell(entry, "", None, ended=True)

    def _note(self, entry: Entry, job: Job) -> None:
        entry.created_ms, entry.rev = job.created_ms, job.rev
        self._tell(entry, tag_of(job), event_of(job), ended=job.terminal)

    def _tell(self, entry: Entry, tag: str, text: bytes | None, *, ended: bool) -> None:
        with self._telling:
            entry.news = News(self.last + 1, tag, text, ended)
            self.last += 1


def _is_known(entry: Entry, look: Seen | None) -> bool:
    return look is not None and entry.news.tag == tag_of(look)
