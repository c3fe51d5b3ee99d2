"""Settles jobs whose worker vanished, whether or not anyone polls them, and clears up after expired ones.

Every service process has a reaper, and none is the leader: all read the same index, and `settle` decides.
"""

import logging
import threading
from collections.abc import Callable

from batchstatus.errors import InvalidValue, JobCorrupt, JobNotFound
from batchstatus.jobs.looks import Leases
from batchstatus.jobs.retention import Retention
from batchstatus.keys import Entry
from batchstatus.messages import Look, Verdict
from batchstatus.store import JobStore

# A job is to be settled 5 s after its lease at the latest. The two looks are 3 s apart, and each may be an
# interval late, which leaves room.
INTERVAL_S = 0.5
SWEEP_S = 10.0
"""How often to look for jobs that have expired; their index entries do no harm meanwhile."""

_log = logging.getLogger(__name__)


class Reaper:
    """Looks at every job whose lease may have run out, and sweeps; `start` does both for ever, in threads.

    `settled` counts the jobs that this reaper found dead and ended.
    """

    def __init__(self, store: JobStore) -> None:
        self._reader = store.reader
        self._connection = store.connection
        self._leases = Leases(store.connection)
        self._retention = Retention(store.connection)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.settled = 0

    def reap(self) -> int:
        """Look once at every job whose lease is due; returns how many were settled.

        Raises as `Looks.work_off` does.
        """
        before = self.settled
        self._leases.work_off(self._look_at)
        return self.settled - before

    def sweep(self) -> None:
        """Clear up after expired jobs once."""
        self._retention.sweep()

    def start(self) -> None:
        """Reap every half a second from now on, and sweep, in daemon threads (greenlets in a gevent worker).

        Two threads, because a sweep with much to clear up takes seconds, and no look may wait for it.
        """
        for task, interval_s in ((self.reap, INTERVAL_S), (self.sweep, SWEEP_S)):
            name = f"batchstatus reaper: {task.__name__}"
            thread = threading.Thread(target=self._repeat, args=(task, interval_s), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads, after their current task."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, task: Callable[[], object], interval_s: float) -> None:
        away = False
        while not self._stop.wait(interval_s):
            try:
                task()
            except Exception as error:  # whatever the error, the next time may be well
                if not away:
                    _log.warning("the reaper cannot %s: %s", task.__name__, error)
                away = True
            else:
                away = False

    def _look_at(self, entry: Entry) -> None:
        try:
            verdict, due_ms = self._reader.look(*entry.job)
        except (JobNotFound, InvalidValue):
            self._leases.drop(entry)
            return
        except JobCorrupt as error:
            _log.error("job %s of %s cannot be looked at: %s", entry.job[1], entry.job[0], error)
            verdict, due_ms = Look(Verdict.QUEUED, None)
        if verdict is Verdict.SETTLED:
            self.settled += 1
            _log.info("job %s of %s is interrupted: its worker has vanished", entry.job[1], entry.job[0])
        if due_ms is not None:
            self._leases.move(entry, due_ms)
        elif verdict is Verdict.QUEUED:
            # Tracked ahead of a claim that has not come, or never will; or damaged: look again a lease later.
            self._leases.put_off(entry, self._connection.settings.lease_ms)
        else:
            if self._connection.has_many_servers():
                self._retention.hasten(*entry.job)  # the job may have ended while its place could not be written
            self._leases.drop(entry)
