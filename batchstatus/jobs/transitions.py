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

from batchstatus.errors import StoreUnavailable
from batchstatus.jobs.index import DANGLING_MS, Index
from batchstatus.jobs.looks import Expiries, Leases
from batchstatus.messages import Batch, Claim, Content, Ending, Look, Reported
from batchstatus.model import Action, Job, Kind, Place, Status
from batchstatus.protocol import verbs
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
            created_ms = self._enter(content.kind)
            job = verbs.create(self._connection, self._keys, self._org, self._job_id, content, created_ms)
            if job is not None:
                if job.status is not Status.QUEUED:
                    self._tidy(content.kind, job.status)
                return job
            self._index.forget(self._org, self._job_id, older_ms=verbs.FRESH_MS)
        raise StoreUnavailable("the clocks of the store's servers are minutes apart; no job can be made")

    def claim(self, token: str) -> Claim:
        """Take the job, or raise LeaseHeld or InvalidTransition. The same token again gives the same fence."""
        entry = self._connection.keys.lease_entry(self._org, self._job_id)
        self._leases.track(entry, self.settings.lease_ms)
        return self._take(partial(verbs.claim, self._connection, self._keys, token))

    def report(self, claim: Claim, seq: int, batch: Batch, *, paused: bool) -> Reported:
        """Count a batch and renew the lease. An empty batch: renew only.

        Raises LeaseLost when fenced out, ReportsLost when the store no longer has reports that it acknowledged.
        """
        return verbs.report(self._connection, self._keys, claim, seq, batch, paused=paused)

    def finish(self, claim: Claim, ending: Ending, seq: int | None) -> None:
        """End the job, or with `interrupted` give its lease back. LeaseLost when fenced out.

        With `seq`, the number of the last report, ReportsLost unless the store still has that report.
        """
        self._take(partial(verbs.finish, self._connection, self._keys, claim, ending, seq), ran=True)

    def control(self, action: Action) -> Job:
        """Ask for a pause, a resume or a cancel; returns the job after it. InvalidTransition if it has ended."""
        return self._take(partial(verbs.control, self._connection, self._keys, action))

    def settle(self) -> Look:
        """Look whether a running job's worker is dead; the second look, a grace after the first, decides."""
        return self._take(partial(verbs.settle, self._connection, self._keys), ran=True)

    def _enter(self, kind: Kind) -> int:
        """Enter a job that is about to be made into both indexes, in short succession; returns its `createdAt`."""
        entry = self._connection.keys.expiry_entry(self._org, self._job_id)
        while True:
            begun_s = time.monotonic()
            self._expiries.track(entry, DANGLING_MS)
            created_ms = self._index.enter(self._org, kind, self._job_id)
            # A process that was stopped in between may find that the look has come and gone.
            if time.monotonic() - begun_s < DANGLING_MS / 2000:
                return created_ms

    def _take(self, step: Callable[[str], _T | Place], *, ran: bool = False) -> _T:
        """Take a step: a verb that lacks only `placed`. Writes first, and tidies afterwards, what the step moves.

        `ran`: only a job that was running can take the step.
        """
        place: Place | None = None
        while isinstance(answer := step(place.status if place else ""), Place):
            place = answer
            self._place(place, ran)
        if place is not None:
            self._tidy(place.kind, place.status)
        return answer

    def _place(self, place: Place, ran: bool) -> None:
        try:
            self._index.place(self._org, self._job_id, place)
        except StoreUnavailable:
            if not self._connection.has_many_servers():
                raise
            # The slot of the organization's index is away, and the job's may not be: go on, and have the index
            # put right once its slot is back. Until then there is no history that could be wrong.
            try:
                self._expiries.hasten(self._connection.keys.expiry_entry(self._org, self._job_id))
            except StoreUnavailable:
                # That slot is away as well, and with it the job's entry for its lease. When the slot is back the
                # reaper finds there that the job has ended, and has the index put right.
                if not ran:
                    raise

    def _tidy(self, kind: Kind, status: Status) -> None:
        # The step is taken; an entry that stays behind is skipped by readers, and goes when the job does.
        with suppress(StoreUnavailable):
            self._index.tidy(self._org, self._job_id, kind, status)
