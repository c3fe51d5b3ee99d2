"""`batchstatus watch` in real terminals of 60, 80 and 120 columns: what somebody who sits there sees."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis
from rich.cells import cell_len

from batchstatus import Job, JobAborted, JobStore
from tests.support.service import LiveService
from tests.support.terminals import Terminal
from tests.support.wire import ORG, put_job

pytestmark = pytest.mark.slow

KIND = "transaction_batch"
WIDTHS = (60, 80, 120)
ROW = {"code": "VALIDATION_ERROR", "message": "no amount"}
Watch = Callable[[int, str], Terminal]


def settings_of(url: str, store: JobStore) -> dict[str, str]:
    return {"BATCHSTATUS_URL": url, "BATCHSTATUS_API_KEY": store.api_keys.create(ORG, ["events:create"])[0]}


@pytest.fixture
def watch(live: LiveService, real_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Returns a function that watches a job in a terminal of the given width."""
    for name, value in settings_of(live.url, real_store).items():
        monkeypatch.setenv(name, value)
    return lambda width, job_id: Terminal(width, "watch", job_id)


@pytest.fixture
def job(real_store: JobStore) -> Job:
    return real_store.create(ORG, KIND, total_items=1_000, metadata={"fileName": "november.csv"})


def at_work(client: "redis.Redis", job_id: str, heartbeat_s: float, **fields: str | int) -> str:
    """A job whose worker has sent its last heartbeat so long ago, and whose lease lasts. Returns the id."""
    now = int(time.time() * 1_000)
    times = {"heartbeatAt": now - int(heartbeat_s * 1_000), "leaseExpiresAt": now + 3_600_000}
    given = {
        "status": "running",
        "totalItems": 1_000,
        "succeeded": 412,
        "metadata": '{"fileName": "november.csv"}',
    }
    return put_job(client, job_id, **(given | times | fields))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_job_from_its_queue_to_its_end(watch: Watch, real_store: JobStore, job: Job, width: int) -> None:
    with watch(width, job.job_id) as terminal:
        assert terminal.shows("queued")[0].startswith("november.csv  ")
        with real_store.run(ORG, job.job_id) as run:
            run.succeeded(412)
            lines = terminal.shows("412/1,000")
            assert len(lines) == 1, lines
            real_store.control(ORG, job.job_id, "pause")
            (line,) = terminal.shows("pausing")
            assert "━" in line
            real_store.control(ORG, job.job_id, "resume")
            for number in range(20):
                run.failed({"externalId": f"T-{number}", **ROW})
            run.succeeded(568)
        terminal.ends_with(0)
        said = f"november.csv completed: 980 succeeded, 20 failed. See: batchstatus failures {job.job_id}"
        assert terminal.paragraphs() == [said]


@pytest.mark.parametrize("width", WIDTHS)
def test_pace_and_time_left_fit_beside_the_bar(watch: Watch, redis_client: "redis.Redis", width: int) -> None:
    now = int(time.time() * 1_000) + 3_600_000  # ahead: the heartbeat stays fresh while the test looks
    pace = f"{now} {now - 5_000} 200 {now - 10_000} 100 {now - 20_000} 12"
    job_id = at_work(
        redis_client, "steady", -3_600, failed=3, succeeded=409, claimedAt=now - 20_000, pace=pace, heartbeatAt=now
    )
    with watch(width, job_id) as terminal:
        (line,) = terminal.shows("left")
        assert "━" in line
        assert ("rows/s" in line) == (width > 60)
        assert (" to " in line) == (width > 80)


@pytest.mark.parametrize(
    ("status", "said"),
    {
        "failed": "november.csv failed after 412 of 1,000 rows: BAD_HEADER: no header.",
        "cancelled": "november.csv cancelled before its first row.",
        "interrupted": "november.csv interrupted after 412 of 1,000 rows: its worker is gone, and none took over.",
    }.items(),
)
def test_a_job_that_ends_otherwise_says_why(
    watch: Watch, real_store: JobStore, job: Job, status: str, said: str
) -> None:
    if status == "cancelled":
        real_store.control(ORG, job.job_id, "cancel")
    else:
        with suppress(JobAborted, SystemExit), real_store.run(ORG, job.job_id) as run:
            run.succeeded(412)
            raise JobAborted("BAD_HEADER", "no header") if status == "failed" else SystemExit
    with watch(80, job.job_id) as terminal:
        terminal.ends_with(1)
        assert terminal.paragraphs() == [said]


def test_ctrl_c_leaves_one_line_and_the_job(watch: Watch, real_store: JobStore, job: Job) -> None:
    with real_store.run(ORG, job.job_id) as run:
        run.succeeded(412)
        with watch(80, job.job_id) as terminal:
            terminal.shows("412/1,000")
            terminal.press("C-c")
            terminal.ends_with(130)
            said = f"november.csv: running, 412 of 1,000 rows, 0 failed. Go on: batchstatus watch {job.job_id}"
            assert terminal.paragraphs() == [said]
        run.succeeded(588)


@pytest.mark.parametrize(
    ("flag", "word"), {"batchPaused": "paused", "batchAwaitingWorker": "waiting for a worker"}.items()
)
def test_what_holds_a_job_up_is_told_in_words(
    watch: Watch, redis_client: "redis.Redis", flag: str, word: str
) -> None:
    with watch(60, at_work(redis_client, "held", 0, **{flag: "1"})) as terminal:
        (line,) = terminal.shows(word)
        assert "━" in line


@pytest.mark.parametrize("width", WIDTHS)
def test_a_silent_worker_is_told_instead_of_a_frozen_pace(
    watch: Watch, redis_client: "redis.Redis", width: int
) -> None:
    with watch(width, at_work(redis_client, "silent", 20)) as terminal:
        terminal.shows("last heartbeat")
        redis_client.hset("batchstatus:{org_acme:silent}", "heartbeatAt", int(time.time() * 1_000))
        # A heartbeat is no event, and is seen all the same.
        (line,) = terminal.until(lambda lines: "last heartbeat" not in "".join(lines), "the heartbeat")
        assert "running" in line


def test_a_service_that_hangs_is_told_until_it_is_back(
    redis_url: str, real_store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LiveService(redis_url) as service, real_store.run(ORG, job.job_id) as run:
        for name, value in settings_of(service.url, real_store).items():
            monkeypatch.setenv(name, value)
        run.succeeded(412)
        with Terminal(80, "watch", job.job_id) as terminal:
            terminal.shows("412/1,000")
            os.killpg(service.pid, signal.SIGSTOP)
            try:
                (line,) = terminal.shows("412/1,000", "no answer for ")
                assert "━" in line
            finally:
                os.killpg(service.pid, signal.SIGCONT)
            run.succeeded(88)
            terminal.until(
                lambda lines: "no answer" not in "".join(lines) and "500/1,000" in "".join(lines), "500"
            )
        run.succeeded(500)


def test_ctrl_c_is_obeyed_while_the_service_hangs(
    redis_url: str, real_store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LiveService(redis_url) as service:
        for name, value in settings_of(service.url, real_store).items():
            monkeypatch.setenv(name, value)
        os.killpg(service.pid, signal.SIGSTOP)
        try:
            with Terminal(80, "watch", job.job_id) as terminal:
                terminal.shows("no answer for ")
                terminal.press("C-c")
                terminal.ends_with(130)
                assert terminal.paragraphs() == [f"{job.job_id}: the service has not answered"]
        finally:
            os.killpg(service.pid, signal.SIGCONT)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_parts_of_a_split_job_are_one_line(watch: Watch, real_store: JobStore, width: int) -> None:
    job = real_store.create(ORG, KIND, parts=4, metadata={"fileName": "november.csv"})
    with watch(width, job.job_id) as terminal:
        terminal.shows("4 parts", "4 waiting")
        with real_store.run(ORG, job.job_id, part=1) as run:
            run.total(100)
            run.succeeded(50)
            terminal.shows("1 at work, 3 waiting")
            run.succeeded(50)
        row, parts = terminal.shows("1 done, 3 waiting")
        assert row.startswith("november.csv  ")
        assert parts.startswith("4 parts  ━━━")
        assert max(map(cell_len, (row, parts))) <= width


@pytest.fixture
def hostile(real_store: JobStore) -> Iterator[Job]:
    name = "\x1b[2J\x1b[31m十一月の取引データ\U0001f4e6\a\x9b5n\r\n\u202egnp.csv"
    job = real_store.create(ORG, KIND, total_items=10, metadata={"fileName": name})
    with real_store.run(ORG, job.job_id) as run:
        run.succeeded(4)
        yield job
        run.succeeded(6)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_hostile_name_stays_in_its_line(watch: Watch, hostile: Job, width: int) -> None:
    with watch(width, hostile.job_id) as terminal:
        (line,) = terminal.shows("4/10")
        assert line.startswith("�[2J�[31m")
        terminal.press("C-c")
        terminal.ends_with(130)
        (said,) = terminal.paragraphs()
        assert said.startswith("�[2J�[31m十一月の取引データ📦��5n gnp.csv: running, 4 of 10 rows")
