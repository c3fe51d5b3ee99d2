"""Moves a job from one status to the next, and keeps the indexes in step.

An index entry is written before the lease or the job that it tracks, so that a crash in between leaves an entry
that leads nowhere, and never a job that no index knows. The scripts insist: one that would change the status of a
job that is not in the index of the new status answers with the place to write first.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from batchstatus.jobs.index import DANGLING_MS, Index
from batchstatus.jobs.looks import Expiries, Leases
from batchstatus.model.errors import JobExists, JobNotFound, StoreUnavailable
from batchstatus.model.job import Action, Job, Place, Status
from batchstatus.model.keys import Entry
from batchstatus.model.messages import Batch, Claim, Content, Ending, Grant, Look, Reported
from batchstatus.protocol import verbs
from batchstatus.protocol.at_once import AtOnce
from batchstatus.protocol.script import Sender
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection

MAX_ENTRIES = 3
"""How often a job that is to be made is entered into the index; a job that is gone may have left an old entry."""

_T = TypeVar("_T")


class Transitions:
    """The transitions of one job. Each may raise StoreUnavailable, and may then be repeated."""

    def __init__(self, connection: Connection, org: str, job_id: str) -> None:
        self._connection = connection
        self._org = org
        self._job_id = job_id
        self._keys = connection.keys.job(org, job_id)
        self._index = Index(connection)
        self._leases = Leases(connection)
        self._expiries = Expiries(connection)
        self._lease = connection.keys.lease_entry(org, job_id)
        self._expiry = connection.keys.expiry_entry(org, job_id)

    @property
    def name(self) -> str:
        """The job's key."""
        return self._keys.job

    @property
    def settings(self) -> StoreSettings:
        """How the job's store is used."""
        return self._connection.settings

    def create(self, content: Content) -> Job:
        """Make a queued job, or return the one made before with the same content; else JobExists."""
        for _ in range(MAX_ENTRIES):
            job = self._make(content)
            if isinstance(job, Place):
                others = "kind, total, metadata, takeover window or parts"
                raise JobExists(f"job {self._job_id} exists with another {others}")
            if job is not None:
                return self._with_parts(job)
            self._index.forget(self._org, self._job_id, older_ms=verbs.FRESH_MS)
        raise StoreUnavailable("the clocks of the store's servers are minutes apart; no job can be made")

    def split(self, parts: int) -> Job:
        """Split a queued job into parts. The same again returns the job."""
        return self._with_parts(verbs.split(self._connection, self._keys, parts))

    def claim(self, token: str, lease_ms: int | None = None, *, worker: str = "") -> Claim:
        """Take the job, or raise LeaseHeld or JobEnded. The same token again gives the same fence.

        `lease_ms` is how long the lease lasts, if not as long as the settings say; `worker` says who claims.
        """
        step = partial(verbs.claim, keys=self._keys, token=token, lease_ms=lease_ms, worker=worker)
        return self._take(step, track_ms=lease_ms or self.settings.lease_ms)

    def report(self, claim: Grant, seq: int, batch: Batch, *, paused: bool) -> Reported:
        """Count a batch and renew the lease. An empty batch: renew only.

        Raises LeaseLost when fenced out, ReportsLost when the store no longer has reports that it acknowledged.
        """
        return verbs.report(self._through(self._connection), self._keys, claim, seq, batch, paused=paused)

    def finish(self, claim: Grant, ending: Ending, seq: int | None) -> None:
        """End the job, or with `interrupted` give its lease back. LeaseLost when fenced out.

        With `seq`, the number of the last report, ReportsLost unless the store still has that report.
        """
        step = partial(verbs.finish, keys=self._keys, claim=claim, ending=ending, seq=seq)
        self._take(step, ahead=self._place_to_come(claim, ending), ran=True, ends=True)

    def control(self, action: Action) -> Job:
        """Ask for a pause, a resume or a cancel; returns the job after it. JobEnded if it has ended."""
        step = partial(verbs.control, keys=self._keys, action=action)
        # A cancel may end a job that no worker has had, which has no entry yet for a look to find its end by.
        return self._with_parts(self._take(step, track_ms=0 if action is Action.CANCEL else None))

    def expire(self) -> Job:
        """Cancel the job unless a worker has it by now; returns the job after it. JobEnded if it has ended."""
        step = partial(verbs.control, keys=self._keys, action="expire")
        return self._with_parts(self._take(step, track_ms=0))

    def settle(self) -> Look:
        """Look whether a running job's worker is dead; the second look, a grace after the first, decides."""
        return self._take(partial(verbs.settle, keys=self._keys), ran=True)

    def _through(self, sender: Sender) -> Sender:
        """Returns what sends the scripts of a run."""
        return sender

    def _with_parts(self, job: Job) -> Job:
        """Renew the parts' time to live as the job's has been; returns the job."""
        if job.parts:
            parts = self._connection.keys.parts(self._org, self._job_id)
            keys = (parts.leases, parts.awaiting, *parts.all(job.parts))
            longer_ms = self.settings.retention_ms * 5 // 4
            self._connection.write_together(*(("PEXPIRE", key, longer_ms) for key in keys))
        return job

    def _at_once(self, entry: Entry, in_ms: int | None = None) -> AtOnce:
        return AtOnce(self._connection, self._job_id, self._index.keys(self._org), entry, in_ms)

    def _make(self, content: Content) -> Job | Place | None:
        """Enter a job into both indexes, and make it. None if it was entered before, too long ago."""
        given = (self._keys, self._org, self._job_id, content)
        if not self._connection.is_cluster():
            return verbs.create(self._at_once(self._expiry, DANGLING_MS), *given, created_ms=0)
        created_ms = self._enter(content.kind)
        job = verbs.create(self._connection, *given, created_ms)
        if job is not None:
            place = job if isinstance(job, Place) else Place(job.kind, job.status, job.created_ms)
            self._put_right(content.kind, created_ms, place)
        return job

    def _enter(self, kind: str) -> int:
        """Enter a job that is about to be made into both indexes, in short succession; returns its `createdAt`."""
        while True:
            begun_s = time.monotonic()
            self._expiries.track(self._expiry, DANGLING_MS)
            created_ms = self._index.enter(self._org, kind, self._job_id)
            # A process that was stopped in between may find that the look has come and gone.
            if time.monotonic() - begun_s < DANGLING_MS / 2000:
                return created_ms

    def _put_right(self, kind: str, entered_ms: int, place: Place) -> None:
        """Put right the index of a job that was there before, and was now entered as one of this kind."""
        if place.kind != kind:
            with suppress(StoreUnavailable):
                self._index.leave(self._org, self._job_id, kind)
        elif place.status is not Status.QUEUED:
            self._tidy(kind, place.status)
        elif place.created_ms != entered_ms:  # its entry was lost: the job was queued before
            self._index.place(self._org, self._job_id, place)

    def _take(
        self,
        step: Callable[..., _T | Place],
        *,
        track_ms: int | None = None,
        ahead: Place | None = None,
        ran: bool = False,
        ends: bool = False,
    ) -> _T:
        """Take a step, a verb that lacks only the connection and `placed`, and write the index entries it needs.

        On one server in one script. In a Cluster one by one: before the step, the look at the lease, `track_ms`
        from now, and the entry for the status to come (`ahead`, where that is known); then those left behind go.
        `ran`: only a job that was running can take the step. `ends`: a look is to find the end of the job, at once
        where that costs no trip, else when the lease is out.
        """
        sender: Sender = self._connection
        if not self._connection.is_cluster():
            sender, ahead = self._at_once(self._lease, 0 if ends else track_ms), None
        elif track_ms is not None:
            self._leases.track(self._lease, track_ms)
        place = ahead
        if place is not None:
            self._place(place, ran)
        sender = self._through(sender)
        try:
            while isinstance(answer := step(sender, placed=place.status if place else ""), Place):
                place = answer
                self._place(place, ran)
        except JobNotFound:
            if place is not None:  # erased or expired meanwhile: nothing else would remove the entry
                self._index.leave(self._org, self._job_id, place.kind, place.status)
            raise
        if place is not None:
            self._tidy(place.kind, place.status)
        return answer

    def _place_to_come(self, claim: Grant, ending: Ending) -> Place | None:
        """Returns the place in the index of a job that a run is about to end; None if it is not known."""
        if not isinstance(claim, Claim) or ending.status is Status.INTERRUPTED:
            return None
        return Place(claim.job.kind, ending.status, claim.job.created_ms)

    def _place(self, place: Place, ran: bool) -> None:
        try:
            self._index.place(self._org, self._job_id, place)
        except StoreUnavailable:
            # The slot of the organization's index is away, and the job's may not be: go on, and have the index
            # put right once its slot is back. Until then there is no history that could be wrong.
            try:
                self._expiries.hasten(self._expiry)
            except StoreUnavailable:
                # That slot is away as well, and with it the job's entry for its lease. When the slot is back the
                # reaper finds there that the job has ended, and has the index put right.
                if not ran:
                    raise

    def _tidy(self, kind: str, status: Status) -> None:
        # The step is taken; an entry that stays behind is skipped by readers, and goes when the job does.
        with suppress(StoreUnavailable):
            self._index.tidy(self._org, self._job_id, kind, status)
