"""What the service counts, for Prometheus; right with several worker processes: they count in shared files.

No label bears an organization, a job or a key. What a request adds is noted in memory and written to the files
shortly after, with what others have added meanwhile: on the way of a poll the three writes are dear.
"""

import os
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from weakref import WeakSet

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from batchstatus.model.job import TERMINAL, Status
from batchstatus.running import Measured

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""How prometheus-client is told where the processes share their counts."""

WRITTEN_AFTER_S = 0.25
"""How long a request is only noted before it is written to where all processes see it."""

MOST_NOTED = 32
"""How many requests are noted at most: to write a thousand would hold up everyone for some milliseconds."""

_LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


_all: "WeakSet[Metrics]" = WeakSet()
_shared: dict[str, "Metrics"] = {}


class Metrics:
    """What the service counts. A process that ends by itself writes what it has only noted."""

    def __init__(self) -> None:
        self._shared = DIRECTORY_VARIABLE in os.environ
        if self._shared:
            # prometheus-client decides on its import, which came before the directory was there.
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._noted: deque[tuple[str, int, float]] = deque()
        self._counting: dict[tuple[str, int], Callable[[float], None]] = {}
        self._will_write, self._process = False, os.getpid()
        _all.add(self)
        self._requests = Counter(
            "batchstatus_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "batchstatus_request_seconds", "Time to answer.", ["route"], registry=registry, buckets=_LATENCIES_S
        )
        self.store_errors = Counter(
            "batchstatus_store_errors", "Requests that the store let down.", registry=registry
        )
        self.settled = Counter(
            "batchstatus_settled_jobs", "Jobs that this replica found dead and ended.", registry=registry
        )
        self._ended = Counter(
            "batchstatus_ended_jobs", "Ends of jobs that this replica has noticed.", ["status"], registry=registry
        )
        for status in TERMINAL:
            self._ended.labels(status)  # from 0 on, so that the first one is an increase
        self.lists_with_losses = Counter(
            "batchstatus_lists_with_losses", "Answers with failed rows of which some were lost.", registry=registry
        )
        self._webhook_tries = Counter(
            "batchstatus_webhook_tries", "Tries to deliver a notice.", ["outcome"], registry=registry
        )
        self.breaker_open = self._gauge("batchstatus_breaker_open", "Processes that do not ask the store now.")
        self.listeners = self._gauge("batchstatus_listeners", "Callers that listen to events.")
        self.held = self._gauge("batchstatus_held_requests", "Requests that wait for a change.")

    def count_webhook_try(self, outcome: str) -> None:
        """A notice was `delivered`, not delivered (`failed`), or not delivered in its last try (`given_up`)."""
        self._webhook_tries.labels(outcome).inc()

    def ended(self, status: Status) -> None:
        """A job has ended."""
        self._ended.labels(status).inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        if self._process != os.getpid():  # a fork: what was noted before it, the parent writes
            self._will_write, self._process = False, os.getpid()
            self._noted.clear()
        self._noted.append((route, status, seconds))
        if len(self._noted) >= MOST_NOTED:
            self.write()
        elif not self._will_write:
            self._will_write = True
            try:
                threading.Timer(WRITTEN_AFTER_S, self._write_in_time).start()
            except RuntimeError:  # no thread is to be had
                self._write_in_time()

    def write(self) -> None:
        """Write what is only noted so far."""
        while self._noted:
            try:
                route, status, seconds = self._noted.popleft()
            except IndexError:  # another thread writes as well
                return
            self._of(route, status)(seconds)

    def exposition(self, measured: Measured | None = None) -> bytes:
        """The metrics of all worker processes, in Prometheus's text format; others' may be WRITTEN_AFTER_S old.

        `measured` is what is known of the whole store.
        """
        self.write()
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            registry.register(_OfAllProcesses())
        of_store = CollectorRegistry()
        if measured is not None:
            of_store.register(_OfStore(measured))
        return generate_latest(registry) + generate_latest(of_store)

    def _write_in_time(self) -> None:
        self._will_write = False  # first: what is noted from here on has its own time
        self.write()

    def _of(self, route: str, status: int) -> Callable[[float], None]:
        """Return what counts requests with this route and status, made once."""
        return self._counting.get((route, status)) or self._counting.setdefault(
            (route, status), self._make(route, status)
        )

    def _make(self, route: str, status: int) -> Callable[[float], None]:
        """What counts these; looking the labels up would cost as much as the counting."""
        count, observe = self._requests.labels(route, status).inc, self._seconds.labels(route).observe

        def answered(seconds: float) -> None:
            count()
            observe(seconds)

        return answered

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry, multiprocess_mode="livesum")


class _OfStore(Collector):
    """What a reaper has measured in the store: every replica tells the same."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """Tell of it. Called by prometheus-client."""
        running, oldest_s = self._measured
        yield GaugeMetricFamily("batchstatus_running_jobs", "Jobs that run, of the whole store.", running)
        said = "Age of the oldest heartbeat of a running job, of the whole store."
        yield GaugeMetricFamily("batchstatus_oldest_heartbeat_seconds", said, oldest_s)


class _OfAllProcesses(Collector):
    """Our metrics of all processes; a host's own may be in the same directory, and are the host's to show."""

    def collect(self) -> Iterator[Metric]:
        """Read them from the shared files. Called by prometheus-client."""
        every = MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]
        return (metric for metric in every if metric.name.startswith("batchstatus_"))


def metrics_of_process() -> Metrics:
    """Return metrics for one more service: where processes share files, the same for all services of this process.

    Two that wrote to the same file would overwrite each other's counts.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE, "")
    if not directory:
        return Metrics()
    return _shared.get(directory) or _shared.setdefault(directory, Metrics())


def share_between_processes() -> None:
    """Before the workers are forked: give them a directory to count in, unless the environment names one."""
    if DIRECTORY_VARIABLE not in os.environ:
        os.environ[DIRECTORY_VARIABLE] = tempfile.mkdtemp(prefix="batchstatus-metrics-")


def forget_process(pid: int) -> None:
    """After a worker has ended: its gauges count no more."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def remove_shared() -> None:
    """After the last worker has ended: remove the directory that we made."""
    directory = Path(os.environ.get(DIRECTORY_VARIABLE, ""))
    if directory.name.startswith("batchstatus-metrics-"):
        shutil.rmtree(directory, ignore_errors=True)


def write_all() -> None:
    """Write what the applications of this process have only noted so far: the process is about to end."""
    for metrics in list(_all):
        metrics.write()
