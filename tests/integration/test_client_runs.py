"""`Client.create` and `Client.run`: jobs that are made and run over HTTP, as with a store."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
import redis

from batchstatus import (
    InvalidTransition,
    InvalidValue,
    JobAborted,
    JobCancelled,
    JobEnded,
    JobExists,
    JobNotFound,
    JobStore,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
    Run,
    StoreUnavailable,
)
from batchstatus.client import Client
from batchstatus.model.errors import Refused, ServiceUnavailable
from tests.conftest import ORG
from tests.support.ports import free_port
from tests.support.proxy import LossyProxy
from tests.support.sdk import rejected
from tests.support.service import LiveService
from tests.support.waiting import wait_until

KIND = "transaction_batch"
KILLED = """
import sys, time
from batchstatus.client import Client
client = Client(sys.argv[1], sys.argv[2])
with client.run("killed", lease_s=1) as run:
    for number in range(1, 8):
        run.succeeded(checkpoint=number if number <= 5 else None)
    time.sleep(600)
"""
"""Counts seven rows, five of which its checkpoint covers, and waits to be killed."""


@pytest.fixture
def key(real_store: JobStore) -> str:
    made, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    return made


@pytest.fixture
def client(live: LiveService, key: str) -> Iterator[Client]:
    with Client(live.url, key) as made:
        yield made


@contextmanager
def losing(proxy: LossyProxy, answers: int = 1) -> Iterator[None]:
    """Lose the next answers."""
    until = proxy.swallowed + answers

    def stop() -> None:
        wait_until(lambda: proxy.swallowed >= until)
        proxy.swallowing = False

    proxy.swallowing = True
    watching = threading.Thread(target=stop)
    watching.start()
    yield
    watching.join()


def test_a_job_is_made_run_and_ended(client: Client, real_store: JobStore) -> None:
    made = client.create(KIND, total_items=4, metadata={"fileName": "a.csv"})
    assert made == replace(real_store.get(ORG, made.job_id), rev=made.rev)
    with client.run(made.job_id) as run:
        assert (run.checkpoint, run.job.status) == (None, "running")
        run.check()
        run.succeeded(2)
        run.failed(rejected(3))
        run.skipped({"externalId": "T-4"}, checkpoint={"at": 4})
    outcome = real_store.outcome(ORG, made.job_id)
    job = outcome.job
    assert (job.status, job.succeeded, job.failed, job.skipped) == ("completed", 2, 1, 1)
    assert outcome.failures == (rejected(3),)
    assert client.get(made.job_id) == replace(job, rev=made.rev)


def test_to_create_again_gives_the_same_job_and_other_content_is_refused(client: Client) -> None:
    content = {"total_items": 4, "metadata": {"a": 1}, "takeover_s": 60}
    made = client.create(KIND, job_id="again", **content)  # type: ignore[arg-type]
    assert client.create(KIND, job_id="again", **content) == made  # type: ignore[arg-type]
    with pytest.raises(JobExists):
        client.create(KIND, job_id="again", total_items=5)
    with pytest.raises(InvalidValue, match="kind"):
        client.create("no_such_kind")
    with pytest.raises(InvalidValue, match="metadata"):
        client.create(KIND, metadata={"a": object()})
    with pytest.raises(Refused):
        client.create("user_event_batch")


def test_each_way_out_of_the_block_ends_the_job_as_with_a_store(client: Client, real_store: JobStore) -> None:
    def leave(job_id: str, error: BaseException) -> None:
        client.create(KIND, job_id=job_id, takeover_s=60)
        with client.run(job_id) as run:
            run.succeeded()
            raise error

    leave("cancelled", JobCancelled())
    with pytest.raises(JobAborted):
        leave("aborted", JobAborted("BAD_FILE", "no header", {"line": 1}))
    with pytest.raises(KeyError):
        leave("failed", KeyError("amount"))
    with pytest.raises(SystemExit):
        leave("released", SystemExit())
    found = {each: real_store.get(ORG, each) for each in ("cancelled", "aborted", "failed", "released")}
    assert [job.status for job in found.values()] == ["cancelled", "failed", "failed", "running"]
    assert all(job.succeeded == 1 for job in found.values())
    aborted, failed = found["aborted"], found["failed"]
    assert aborted.job_failure
    assert (aborted.job_failure.code, aborted.job_failure.details) == ("BAD_FILE", {"line": 1})
    assert failed.job_failure
    assert (failed.job_failure.code, failed.worker_error) == ("WORKER_ERROR", "KeyError: 'amount'")
    assert found["released"].metadata["batchAwaitingWorker"]


def test_an_error_of_hand_back_gives_the_lease_back(client: Client, real_store: JobStore) -> None:
    client.create(KIND, job_id="retried", takeover_s=60)
    with suppress(ConnectionError), client.run("retried", hand_back=ConnectionError):
        raise ConnectionError
    assert real_store.get(ORG, "retried").metadata["batchAwaitingWorker"]


def test_who_cannot_have_the_job_is_told_why(client: Client, live: LiveService, real_store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        client.run("unknown").__enter__()
    client.create(KIND, job_id="held", takeover_s=60)
    with real_store.run(ORG, "held"), pytest.raises(LeaseHeld) as held:
        client.run("held").__enter__()
    assert held.value.left_s >= 1
    with pytest.raises(JobEnded) as ended:
        client.run("held").__enter__()
    assert ended.value.status == "completed"
    reader, _ = real_store.api_keys.create(ORG, ["transactions:create"])
    with Client(live.url, reader) as other, pytest.raises(Refused):
        other.run("held").__enter__()
    with pytest.raises(StoreUnavailable):
        Client(f"http://127.0.0.1:{free_port()}", "key").run("held").__enter__()


@pytest.mark.parametrize("options", [{"lease_s": 0}, {"lease_s": 1.5}, {"wait_s": -1}, {"kinds": ["no_such"]}])
def test_a_wrong_option_is_named(options: dict[str, object]) -> None:
    client = Client("http://127.0.0.1:1", "key")
    with pytest.raises(InvalidValue, match=next(iter(options)).removesuffix("s")):
        client.run("job", **options)  # type: ignore[arg-type]


def check_until_cancelled(run: Run) -> None:
    """Wait in a check for the end of a pause, which a cancel is too."""
    with suppress(JobCancelled):
        run.check()


def test_a_run_obeys_a_pause_and_a_cancel(client: Client, real_store: JobStore) -> None:
    client.create(KIND, job_id="told")
    with client.run("told", lease_s=1) as run:
        client.control("told", "pause")
        wait_until(lambda: run.wanted() == "pause")
        waiting = threading.Thread(target=check_until_cancelled, args=(run,))
        waiting.start()
        wait_until(lambda: real_store.get(ORG, "told").metadata.get("batchPaused"))
        client.control("told", "cancel")
        waiting.join()
        run.check()
    assert real_store.get(ORG, "told").status == "cancelled"


def test_a_run_that_was_taken_over_loses_its_lease_and_counts_nothing(
    client: Client, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    client.create(KIND, job_id="lost", takeover_s=60)
    run = client.run("lost").__enter__()
    redis_client.hset(f"batchstatus:{{{ORG}:lost}}", "token", "another")
    run.succeeded()
    wait_until(lambda: raised(run))
    with pytest.raises(LeaseLost):
        run.__exit__(None, None, None)
    assert real_store.get(ORG, "lost").succeeded == 0


def raised(run: Run) -> bool:
    """Returns True once a check raises LeaseLost or ReportsLost."""
    try:
        run.check()
    except (LeaseLost, ReportsLost):
        return True
    return False


def test_reports_that_the_store_has_lost_end_the_run_and_hand_the_job_on(
    client: Client, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    client.create(KIND, job_id="forgotten", takeover_s=60)
    run = client.run("forgotten", flush_s=0.01).__enter__()
    for number in range(1, 4):
        run.succeeded()
        wait_until(lambda: real_store.get(ORG, "forgotten").succeeded == number)  # noqa: B023
    redis_client.hset(f"batchstatus:{{{ORG}:forgotten}}", "seq", 1)
    run.succeeded()
    wait_until(lambda: raised(run))
    with pytest.raises(ReportsLost):
        run.__exit__(None, None, None)
    assert real_store.get(ORG, "forgotten").metadata["batchAwaitingWorker"]


def test_each_call_whose_answer_is_lost_counts_once(live: LiveService, key: str, real_store: JobStore) -> None:
    with LossyProxy(live.port) as proxy, Client(f"http://127.0.0.1:{proxy.port}", key, timeout_s=0.3) as client:
        with losing(proxy):
            job_id = client.create(KIND).job_id
        run = client.run(job_id, flush_s=0.01)
        with losing(proxy):
            run.__enter__()
        for number in range(1, 6):
            with losing(proxy, 2):
                run.succeeded(2)
                run.failed(rejected(number), checkpoint=number)
        with losing(proxy):
            run.__exit__(None, None, None)
        assert proxy.swallowed >= 13
    outcome = real_store.outcome(ORG, job_id)
    assert [(job.job_id, job.status) for job in real_store.list(ORG).jobs] == [(job_id, "completed")]
    assert (outcome.job.succeeded, outcome.failures) == (10, tuple(rejected(number) for number in range(1, 6)))


def test_a_service_that_stays_away_is_named_with_what_was_not_delivered(live: LiveService, key: str) -> None:
    with LossyProxy(live.port) as proxy, Client(f"http://127.0.0.1:{proxy.port}", key, give_up_s=0.2) as client:
        run = client.run(client.create(KIND).job_id, give_up_s=0.2).__enter__()
        proxy.cut()
        run.succeeded(7)
        with pytest.raises(StoreUnavailable, match="not delivered: 7 succeeded"):
            run.__exit__(None, None, None)
        with pytest.raises(ServiceUnavailable):
            client.create(KIND)


def test_a_killed_process_is_taken_over_with_the_counters_of_its_checkpoint(
    client: Client, live: LiveService, key: str, real_store: JobStore
) -> None:
    client.create(KIND, job_id="killed", total_items=9, takeover_s=60)
    with subprocess.Popen([sys.executable, "-c", KILLED, live.url, key]) as process:
        wait_until(lambda: real_store.get(ORG, "killed").done == 7)
        process.kill()
    with client.run("killed", wait_s=60) as run:
        assert (run.checkpoint, real_store.get(ORG, "killed").succeeded) == (5, 5)
        run.succeeded(4)
    assert real_store.get(ORG, "killed").succeeded == 9


def test_a_run_keeps_its_lease_while_its_importer_does_nothing(client: Client, real_store: JobStore) -> None:
    client.create(KIND, job_id="silent")
    with client.run("silent", lease_s=1) as run:
        began = run.job.heartbeat_at
        wait_until(lambda: later(real_store.get(ORG, "silent").heartbeat_at, began) > 2)
        run.succeeded()
    assert real_store.get(ORG, "silent").status == "completed"
    with pytest.raises(InvalidTransition):
        run.succeeded()


def later(time: object, than: object) -> float:
    """Returns how many seconds one time is after another."""
    return (time - than).total_seconds()  # type: ignore[operator, no-any-return]
