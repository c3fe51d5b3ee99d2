"""Settles jobs whose worker vanished, whether or not anyone polls them, and clears up after expired ones.

Every service process has a reaper, and none is the leader: whoever has the turn reads the indexes, and `settle`
decides.
"""

import logging
import time
from collections.abc import Callable

from batchstatus.jobs.looks import Leases
from batchstatus.jobs.retention import Retention
from batchstatus.jobs.turns import Rounds, Turn
from batchstatus.model.errors import BatchStatusError, InvalidValue, JobCorrupt, JobNotFound, StoreUnavailable
from batchstatus.model.job import TERMINAL, Status
from batchstatus.model.keys import Entry
from batchstatus.model.messages import Verdict
from batchstatus.running import Running
from batchstatus.store import JobStore
from batchstatus.webhooks.notices import Notices

# A job is to be settled 5 s after its lease at the latest. The two looks are 3 s apart, and each may be an
# interval late. Where the reaper that has the turn dies, one of them may be late by a turn and the jitter instead.
INTERVAL_S = 0.5
TURN_S = 0.8
"""How long a reaper's turn lasts unless it is kept; longer than the interval."""

NOTES_S = 0.5
"""How long a round notes ends at most, so that no dead worker waits for the notices of many ends at once."""

NOTE_LATER_MS = 1_000
"""How long to leave an end for which a round had no time, at least."""

NOTE_APART_MS = 5
"""How much longer each further end of the round: looks at thousands of them would hold up the others as well."""

ROLL_OUT_S = 600.0
"""For how long to look again soon at jobs of a kind that this process does not know."""

SWEEP_S = 10.0
"""How often to look for jobs that have expired; their index entries do no harm meanwhile."""

SWEEP_TURN_S = 15.0

_log = logging.getLogger(__name__)


class Reaper:
    """Looks at every job whose lease may have run out, and sweeps; `start` does both for ever, in threads.

    `settled` counts the jobs that this reaper found dead and ended. `on_ended` is told the status of each job
    that has ended; of several reapers, one is told. `notes_s` limits how long a round notes ends (seconds).
    """

    def __init__(
        self,
        store: JobStore,
        on_ended: Callable[[Status], object] | None = None,
        *,
        notes_s: float = NOTES_S,
    ) -> None:
        self._reader = store.reader
        self._connection = store.connection
        self._leases = Leases(store.connection)
        self._retention = Retention(store.connection)
        self._running = Running(store.connection)
        self._notices = Notices(store.connection)
        self._not_noted: StoreUnavailable | None = None
        self._noting_s, self._left = 0.0, 0
        self._on_ended = on_ended
        self._notes_s = notes_s
        self._rounds: list[Rounds] = []
        leases, expiries = store.connection.keys.turns()
        self._turn, self._sweep_turn = (
            Turn(store.connection, leases, TURN_S),
            Turn(store.connection, expiries, SWEEP_TURN_S),
        )
        self._unknown: dict[str, float] = {}
        self.settled = 0

    def reap(self) -> int:
        """Look once at every job whose lease is due; returns how many were settled.

        Raises as `Looks.work_off` does; also, after all looks, where an end could not be noted for its endpoints.
        """
        before, self._not_noted, self._noting_s, self._left = self.settled, None, 0.0, 0
        self._leases.work_off(self._look_at)
        if self._not_noted:
            raise self._not_noted
        return self.settled - before

    def sweep(self) -> None:
        """Clear up after expired jobs once, and count the running ones for the metrics."""
        self._retention.sweep()
        steps = {
            "old notices cannot be forgotten": self._notices.forget,
            "the running jobs cannot be counted": self._running.measure,
        }
        for trouble, step in steps.items():
            try:
                step()
            except BatchStatusError as error:  # the jobs are well all the same
                _log.warning("%s: %s", trouble, error)

    def start(self) -> None:
        """Reap from now on, and sweep, whenever it is this reaper's turn.

        Both in daemon threads of their own (greenlets in a gevent worker): a sweep with much to clear up takes
        seconds, and no look may wait for it.
        """
        self._rounds = [
            Rounds("reaper", self.reap, INTERVAL_S, self._turn),
            Rounds("reaper", self.sweep, SWEEP_S, self._sweep_turn),
        ]
        for each in self._rounds:
            each.start()

    def stop(self) -> None:
        """End the threads, after their current task."""
        for each in self._rounds:
            each.stop()

    def _look_at(self, entry: Entry) -> None:
        again_ms = self._connection.settings.lease_ms
        try:
            verdict, due_ms = self._reader.look(*entry.job)
            if verdict is Verdict.SETTLED:
                self.settled += 1
                _log.info("job %s of %s has ended: its worker has vanished", entry.job[1], entry.job[0])
            if due_ms is None and verdict is not Verdict.QUEUED:
                again_ms = self._note(entry)
        except (JobNotFound, InvalidValue):
            self._leases.drop(entry)
            return
        except JobCorrupt as error:
            due_ms = None
            if kind := self._unknown_kind(entry):
                again_ms = self._unknown_ms(kind)
            else:
                _log.error("job %s of %s cannot be looked at: %s", entry.job[1], entry.job[0], error)
        if due_ms is not None:
            self._leases.move(entry, due_ms)
        elif again_ms:
            # Tracked ahead of a claim that has not come, or never will; or damaged; or its end is not noted yet.
            self._leases.put_off(entry, again_ms)
        else:
            if self._connection.has_many_servers():
                self._retention.hasten(*entry.job)  # the job may have ended while its place could not be written
            self._drop_ended(entry)

    def _note(self, entry: Entry) -> int:
        """Note for whom the end of a job is, before its entry goes: no end is without its notices.

        Returns in how many ms to try again, 0 if it is done. A store that refuses may well settle other jobs.
        """
        if self._noting_s >= self._notes_s:
            return self._later_ms()
        begun_s = time.monotonic()
        try:
            self._notices.note(*entry.job)
        except StoreUnavailable as error:
            self._not_noted = error
            return self._connection.settings.lease_ms
        finally:
            self._noting_s += time.monotonic() - begun_s
        return 0

    def _later_ms(self) -> int:
        """Returns how long to leave an end (ms): longer than the ones of this round before it."""
        self._left += 1
        return NOTE_LATER_MS + NOTE_APART_MS * self._left

    def _unknown_kind(self, entry: Entry) -> str | None:
        """Returns a job's kind if it is not declared here, as in an older replica during a roll-out; else None.

        Who has the turn would keep it from those that can read the job, so this reaper leaves it to them.
        """
        try:
            stored = self._connection.command("HGET", self._connection.keys.job(*entry.job).job, "kind")
        except JobCorrupt:  # no hash at all
            return None
        kind = (stored or b"").decode("utf-8", "replace")
        if stored is None or kind in self._connection.settings.kinds.names:
            return None
        if kind not in self._unknown:
            self._unknown[kind] = time.monotonic()
            _log.error("kind %r is not declared here: the ends of its jobs are for other reapers", kind)
        self._turn.leave()
        return kind

    def _unknown_ms(self, kind: str) -> int:
        """Returns how long to leave a job of a kind that is not declared here (ms): a roll-out is soon over."""
        for_s = time.monotonic() - self._unknown[kind]
        return self._later_ms() if for_s < ROLL_OUT_S else self._connection.settings.lease_ms

    def _drop_ended(self, entry: Entry) -> None:
        """Look no more at a job that has ended. Of several reapers, the one that drops the entry tells of it."""
        key = self._connection.keys.job(*entry.job).job
        status = (self._connection.command("HGET", key, "status") or b"").decode() if self._on_ended else ""
        if self._leases.drop(entry) and self._on_ended and status in TERMINAL:
            self._on_ended(Status(status))
