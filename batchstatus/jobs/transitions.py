"""Moves a job from one status to the next, and keeps the indexes in step.

What an index says is written before what it is about, so that a crash in between leaves an entry that leads
nowhere, and never a job that no index knows. The scripts insist: see Unplaced.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from batchstatus.errors import StoreUnavailable
from batchstatus.jobs.index import DANGLING_MS, History
from batchstatus.jobs.looks import Expiries, Leases
from batchstatus.keys import Keys
from batchstatus.model import Action, Claim, Job, Kind, Place, Status, Verdict
from batchstatus.protocol import verbs
from batchstatus.protocol.script import Unplaced
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection

ENTERED_ANEW = 3
"""How often a job that is to be made is entered into the index; one that is gone may have left an entry there."""

_T = TypeVar("_T")


class Transitions:
    """The steps of the jobs of all organizations. Each may raise StoreUnavailable, and may then be repeated."""

    def __init__(self, connection: Connection, keys: Keys, settings: StoreSettings) -> None:
        self._connection = connection
        self._keys = keys
        self._settings = settings
        self._history = History(connection, keys)
        self._leases = Leases(connection, keys)
        self._expiries = Expiries(connection, keys)

    def create(
        self,
        org: str,
        job_id: str,
        *,
        kind: Kind,
        total_items: int | None,
        metadata: str,
        takeover_ms: int,
        digest: str,
    ) -> Job:
        """Make a queued job, or give the one made before with the same content; else JobExists."""
        for _ in range(ENTERED_ANEW):
            created_ms = self._enter(org, kind, job_id)
            job = verbs.create(
                self._connection,
                self._keys.job(org, job_id),
                org_id=org,
                job_id=job_id,
                kind=kind,
                total_items=total_items,
                metadata=metadata,
                takeover_ms=takeover_ms,
                digest=digest,
                retention_ms=self._settings.retention_ms,
                created_ms=created_ms,
            )
            if job is not None:
                if job.status is not Status.QUEUED:
                    self._tidy(org, job_id, kind, job.status)
                return job
            self._history.forget(org, job_id, older_ms=verbs.FRESH_MS)
        raise StoreUnavailable("the clocks of the store's servers are minutes apart; no job can be made")

    def claim(self, org: str, job_id: str, token: str) -> Claim:
        """Take the job, or raise LeaseHeld or InvalidTransition. The same token again gives the same fence."""
        settings, keys = self._settings, self._keys.job(org, job_id)
        self._leases.track(self._keys.lease_entry(org, job_id), settings.lease_ms)
        return self._placed(
            org,
            job_id,
            lambda placed: verbs.claim(
                self._connection,
                keys,
                token=token,
                lease_ms=settings.lease_ms,
                grace_ms=settings.grace_ms,
                retention_ms=settings.retention_ms,
                placed=placed,
            ),
        )

    def finish(
        self,
        org: str,
        job_id: str,
        *,
        fence: int,
        token: str,
        status: Status,
        worker_error: str | None,
        job_failure: str | None,
        seq: int | None,
    ) -> None:
        """End the job, or with `interrupted` give its lease back. LeaseLost when fenced out.

        With `seq`, that of the last report, ReportsLost unless the store still has it.
        """
        keys = self._keys.job(org, job_id)
        self._placed(
            org,
            job_id,
            lambda placed: verbs.finish(
                self._connection,
                keys,
                fence=fence,
                token=token,
                status=status,
                worker_error=worker_error,
                job_failure=job_failure,
                seq=seq,
                retention_ms=self._settings.retention_ms,
                placed=placed,
            ),
            ran=True,
        )

    def control(self, org: str, job_id: str, action: Action) -> Job:
        """Ask for a pause, a resume or a cancel; the job as it stands after. InvalidTransition if it has ended."""
        keys, retention_ms = self._keys.job(org, job_id), self._settings.retention_ms
        return self._placed(
            org,
            job_id,
            lambda placed: verbs.control(
                self._connection, keys, action=action, retention_ms=retention_ms, placed=placed
            ),
        )

    def settle(self, org: str, job_id: str) -> tuple[Verdict, int | None]:
        """Look whether a running job's worker is dead; what the look found, and when the next is due."""
        keys, settings = self._keys.job(org, job_id), self._settings
        times = {"grace_ms": settings.grace_ms, "retention_ms": settings.retention_ms}
        return self._placed(
            org, job_id, lambda placed: verbs.settle(self._connection, keys, **times, placed=placed), ran=True
        )

    def _enter(self, org: str, kind: Kind, job_id: str) -> int:
        """Enter a job that is about to be made into both indexes, one soon after the other; its `createdAt`."""
        while True:
            begun_s = time.monotonic()
            self._expiries.track(self._keys.expiry_entry(org, job_id), DANGLING_MS)
            created_ms = self._history.enter(org, kind, job_id)
            # A process that was stopped in between may find that the look has come and gone.
            if time.monotonic() - begun_s < DANGLING_MS / 2000:
                return created_ms

    def _placed(self, org: str, job_id: str, step: Callable[[str], _T], *, ran: bool = False) -> _T:
        """Take a step; if it changes the status, with the job placed in the index before, and tidied up after.

        `ran`: only a job that was running can take it.
        """
        place: Place | None = None
        while True:
            try:
                done = step(place.status if place else "")
            except Unplaced as unplaced:
                place = unplaced.place
                self._place(org, job_id, place, ran)
            else:
                break
        if place is not None:
            self._tidy(org, job_id, place.kind, place.status)
        return done

    def _place(self, org: str, job_id: str, place: Place, ran: bool) -> None:
        try:
            self._history.place(org, job_id, place)
        except StoreUnavailable:
            if not self._connection.has_many_servers:
                raise
            # The slot of the organization's index is away, and the job's may not be: go on, and have the index
            # put right once it is back. Until then there is no history that could be wrong.
            try:
                self._expiries.hasten(self._keys.expiry_entry(org, job_id))
            except StoreUnavailable:
                # That slot is away as well, and with it the job's entry for its lease. When it is back the reaper
                # finds there that the job has ended, and has the index put right.
                if not ran:
                    raise

    def _tidy(self, org: str, job_id: str, kind: Kind, status: Status) -> None:
        # The step is taken; an entry that stays behind is skipped by readers, and goes when the job does.
        with suppress(StoreUnavailable):
            self._history.tidy(org, job_id, kind, status)
