"""The rules that a worker is put through: functions of a scene, which raise Broken where one is broken."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from batchstatus.conformance.proxy import LosingProxy
from batchstatus.conformance.scene import KIND, LEASE_S, LINES, ORG, Broken, Scene, row, until
from batchstatus.model.job import Action, Kind, Status
from batchstatus.model.messages import Batch, Counts

Rule = Callable[[Scene], None]


def counts(scene: Scene) -> None:
    """Each row counts once, rows that failed are stored in their order, and the job completes."""
    scene.ends(Status.COMPLETED, scene.start())


def creates(scene: Scene) -> None:
    """A job that the worker creates is like Python's: in both indexes before it is there, with Python's digest."""
    scene.leave_to_worker()
    scene.block_leases()  # the job stays as it was created
    with LosingProxy(urlsplit(scene.url).port or 0) as proxy:
        worker = scene.start(url=proxy.url)
        until(scene.stored, "a job that the worker creates")
        worker.kill()
    scene.is_as_created()


def finds_again(scene: Scene) -> None:
    """A job that is there already is run and not made anew; one with other content, or ended, is left as it is."""
    scene.leave_to_worker()
    scene.create()
    _leaves_as_it_is(scene, Kind.USER_EVENT_BATCH)
    scene.is_as_created()
    scene.ends(Status.COMPLETED, scene.start())
    _leaves_as_it_is(scene, KIND)
    scene.check(len(scene.lines))


def _leaves_as_it_is(scene: Scene, kind: Kind) -> None:
    before, worker = scene.stored(), scene.start(kind=kind)
    until(lambda: worker.poll() is not None, "the end of the worker's process", 30)
    if scene.stored() != before:
        raise Broken(f"the job was changed: {scene.stored()}")


def aborts(scene: Scene) -> None:
    """An import that aborts ends the job as failed, with a code and with what was counted."""
    scene.lines = [*LINES[:24], "abort", *LINES[25:]]
    scene.ends(Status.FAILED, scene.start())
    failure = scene.job().job_failure
    if failure is None or failure.code != "INVALID_ENTITY_REFERENCES":
        raise Broken(f"jobFailure is {failure}, and its code must be INVALID_ENTITY_REFERENCES")
    scene.check(24)


def repeats(scene: Scene) -> None:
    """A call whose answer is lost is repeated as it is, and counts once."""
    port = urlsplit(scene.url).port or 0
    with LosingProxy(port) as proxy:
        worker = scene.start(url=proxy.url)
        scene.ends(Status.COMPLETED, worker)
        if not proxy.lost:
            raise Broken(f"no answer was lost: the worker does not go through {proxy.url}")


def heartbeats(scene: Scene) -> None:
    """A row that takes longer than the lease costs no lease."""
    scene.lines = LINES[:1]
    # Without heartbeats the lease is over for 3 s, so that even a slow look sees it.
    worker = scene.start(row_ms=round(LEASE_S * 2500))
    until(lambda: scene.job().status is Status.RUNNING, "a claim")
    while not scene.job().terminal:
        if not scene.lease_is_alive() and not scene.job().terminal:
            raise Broken("the lease ran out while the worker was at a row")
        time.sleep(0.05)
    scene.ends(Status.COMPLETED, worker)


def pauses(scene: Scene) -> None:
    """On a pause the worker says that it waits, counts nothing, keeps its lease, and goes on once resumed."""
    worker = scene.start()
    scene.until_done(10)
    scene.control(Action.PAUSE)
    until(lambda: "batchPaused" in scene.stored(), "batchPaused", 5)
    before = scene.job().done
    for _ in _longer_than_a_lease():
        if scene.job().done != before:
            raise Broken("rows were counted during the pause")
        if not scene.lease_is_alive():
            raise Broken("the lease ran out during the pause")
    scene.control(Action.RESUME)
    scene.ends(Status.COMPLETED, worker)


def cancels(scene: Scene) -> None:
    """On a cancel the worker stops, and ends the job as cancelled with what was counted."""
    worker = scene.start(row_ms=100)
    scene.until_done(10)
    scene.control(Action.CANCEL)
    scene.ends(Status.CANCELLED, worker)
    if scene.job().done == len(scene.lines):
        raise Broken("the worker did the whole file after the cancel")


def leaves_an_end(scene: Scene) -> None:
    """A job that has ended already is left as it is."""
    scene.control(Action.CANCEL)
    _leaves_as_it_is(scene, KIND)


def is_killed(scene: Scene) -> None:
    """After kill -9 another process of the worker waits, and goes on at the checkpoint; counters are exact."""
    _signalled(scene, signal.SIGKILL)
    scene.ends(Status.COMPLETED, scene.start())
    if scene.stored().get("attempt") != "2":
        raise Broken(f"the job was claimed {scene.stored().get('attempt')} times, and not twice")


def is_taken_over(scene: Scene) -> None:
    """After kill -9 a Python worker goes on at the checkpoint; counters are exact."""
    _signalled(scene, signal.SIGKILL)
    scene.work_in_python()
    scene.ends(Status.COMPLETED)


def takes_over(scene: Scene) -> None:
    """A job whose Python worker died is taken over at its checkpoint; counters are exact."""
    steps = scene.store.steps(ORG, scene.job_id)
    failures = (row(7), row(14), row(21))
    claim = steps.claim("a worker that dies")
    batch = Batch(20, failures, (), len(scene.lines), checkpoint=20, covered=Counts(18, 2, 0))
    steps.report(claim, 1, batch, paused=False)
    scene.ends(Status.COMPLETED, scene.start())


def is_fenced_out(scene: Scene) -> None:
    """A worker that was frozen while another one took its job over writes nothing more, and stops."""
    worker = _signalled(scene, signal.SIGSTOP)
    try:
        scene.work_in_python()
        before = scene.stored()
    finally:
        _wake(worker)
    until(lambda: worker.poll() is not None, "the end of the worker that was fenced out")
    if scene.stored() != before:
        raise Broken(f"the worker wrote to a job that was another's: {scene.stored()}")
    scene.ends(Status.COMPLETED)


def outlives_full_memory(scene: Scene) -> None:
    """While the store's memory is full, so that it refuses reports, heartbeats keep the lease; no row is lost."""
    worker = scene.start()
    scene.until_done(10)
    scene.set_memory("1")
    for _ in _longer_than_a_lease():
        if not scene.lease_is_alive():
            raise Broken("the lease ran out while reports were refused")
    scene.set_memory("0")
    scene.ends(Status.COMPLETED, worker)


def wakes_in_time(scene: Scene) -> None:
    """A worker that was frozen past its lease, and whose job nobody took, goes on."""
    worker = _signalled(scene, signal.SIGSTOP)
    time.sleep(LEASE_S + 0.2)
    _wake(worker)
    scene.ends(Status.COMPLETED, worker)
    if scene.stored().get("attempt") != "1":
        raise Broken("the job was claimed again")


def gives_back(scene: Scene) -> None:
    """On SIGTERM the worker gives its lease back, and another one goes on at once; counters are exact."""
    worker = scene.start()
    scene.until_done(15)
    worker.send_signal(signal.SIGTERM)
    until(lambda: "batchAwaitingWorker" in scene.stored(), "the lease that is given back", LEASE_S * 0.9)
    until(lambda: worker.poll() is not None, "the end of the worker's process", 30)
    scene.ends(Status.COMPLETED, scene.start())


def tells_of_lost_reports(scene: Scene) -> None:
    """A worker whose acknowledged reports the store has lost does not complete the job."""
    worker = scene.start(row_ms=100)
    scene.until_done(10)
    before = scene.stored()
    rows, second = int(before["failed"]), int(before.get("seq", 0)) + 2
    # A second report is only sent once the first is acknowledged; of an ended job there is no `seq`.
    until(lambda: int(scene.stored().get("seq", second)) >= second, "two more reports")
    worker.send_signal(signal.SIGSTOP)  # so that they are lost before the job can end
    try:
        _must_not_be_over(scene)
        now = scene.stored()
        lost = before | {name: now[name] for name in ("heartbeatAt", "leaseExpiresAt")}
        fields = [each for pair in lost.items() for each in pair]
        keep = ("LTRIM", scene.keys.failures, 0, rows - 1) if rows else ("DEL", scene.keys.failures)
        scene.store.connection.write_together(("HSET", scene.keys.job, *fields), keep)
    finally:
        _wake(worker)
    until(lambda: worker.poll() is not None, "the end of the worker's process", 30)
    if scene.job().status is Status.COMPLETED:
        raise Broken("the job reads completed, and rows are missing from its counters")


def _longer_than_a_lease() -> Iterator[None]:
    """Yield again and again, and once more when a lease would have run out, however late that is."""
    end, is_over = time.monotonic() + 1.5 * LEASE_S, False
    while not is_over:
        is_over = time.monotonic() >= end
        yield
        time.sleep(0.05)


def _signalled(scene: Scene, number: signal.Signals) -> "subprocess.Popen[bytes]":
    """Start a worker, and send it this signal in the middle of the file."""
    worker = scene.start(row_ms=100)
    scene.until_done(25)
    worker.send_signal(number)
    _must_not_be_over(scene)
    return worker


def _must_not_be_over(scene: Scene) -> None:
    """Raise Broken if all rows are counted: what is done to the worker then shows nothing."""
    job = scene.job()
    if job.terminal or job.done == len(scene.lines):
        raise Broken("all rows were counted before the worker could be put to the test")


def _wake(worker: "subprocess.Popen[bytes]") -> None:
    """Let a frozen process go on."""
    worker.send_signal(signal.SIGCONT)


RULES: dict[str, Rule] = {
    rule.__name__.replace("_", "-"): rule
    for rule in (
        *(counts, creates, finds_again),
        *(aborts, repeats, heartbeats, pauses, cancels, leaves_an_end, is_killed, is_taken_over),
        *(takes_over, is_fenced_out, outlives_full_memory, wakes_in_time, gives_back, tells_of_lost_reports),
    )
}
"""The rules by name, in the order in which they are told."""
