"""The metrics of one process: what is counted under which labels, and the directory for several."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from batchstatus import TERMINAL, JobCancelled, JobStore, StoreUnavailable
from batchstatus.jobs.looks import Leases
from batchstatus.model.keys import BUCKETS, Keys
from batchstatus.protocol import verbs
from batchstatus.reaper import Reaper
from batchstatus.settings import Settings, StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.web import create_app, metrics
from batchstatus.web.breaker import FAILURES
from batchstatus.web.server import serve as server
from tests.support.sdk import claim_and_vanish
from tests.support.waiting import wait_until

ORG = "org_acme"
JOBS = "/batch-import/jobs/<job_id>"
FAILED = "/batch-import/{}-jobs/<job_id>/failures"
Samples = dict[tuple[str, ...], float]


def samples(web: FlaskClient, name: str) -> Samples:
    """The samples of a metric, by the values of their labels in the order of the labels' names."""
    families = text_string_to_metric_families(web.get("/metrics").text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in found}


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(ORG, "transaction_batch").job_id


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/batch-import/jobs/{}", 200, JOBS),
        ("/batch-import/jobs/{}?include=failures", 200, JOBS),
        ("/batch-import/jobs/{}?include=rows", 400, JOBS),
        ("/batch-import/jobs/unknown", 404, JOBS),
        ("/batch-import/jobs/no%20id", 404, JOBS),
        ("/batch-import/transaction-jobs/{}/failures", 200, FAILED.format("transaction")),
        ("/batch-import/transaction-jobs/{}/failures.csv", 200, FAILED.format("transaction") + ".csv"),
        ("/batch-import/user-event-jobs/{}/failures", 404, FAILED.format("user-event")),
        ("/batch-import/user-event-jobs/{}/failures.csv", 404, FAILED.format("user-event") + ".csv"),
        ("/batch-import/entity-jobs/{}/failures", 404, FAILED.format("entity")),
        ("/batch-import/entity-jobs/{}/failures.csv", 404, FAILED.format("entity") + ".csv"),
        (
            "/entities/automatic/bulk/imports/{}/failures.csv",
            404,
            "/entities/automatic/bulk/imports/<job_id>/failures.csv",
        ),
        ("/livez", 200, "/livez"),
        ("/readyz", 200, "/readyz"),
        ("/nowhere/{}", 404, "(none)"),
    ],
)
def test_a_request_is_counted_under_its_route_and_status(
    web: FlaskClient, api_key: str, job_id: str, path: str, status: int, route: str
) -> None:
    for times in (1, 2):
        answer = web.get(path.format(job_id), headers={"Authorization": f"Bearer {api_key}"})
        assert answer.status_code == status
        assert samples(web, "batchstatus_requests_total")[route, str(status)] == times


def test_so_is_one_that_changes_something(web: FlaskClient, api_key: str, job_id: str) -> None:
    body, headers = {"kind": "transaction_batch", "action": "cancel"}, {"Authorization": f"Bearer {api_key}"}
    web.post(f"/batch-import/jobs/{job_id}/control", json=body, headers=headers)
    web.delete(f"/batch-import/jobs/{job_id}", headers=headers)
    web.get(f"/batch-import/jobs/{job_id}")
    assert samples(web, "batchstatus_requests_total") == {
        (f"{JOBS}/control", "200"): 1,
        ("(none)", "405"): 1,
        (JOBS, "401"): 1,
    }


def test_the_metrics_count_themselves(web: FlaskClient) -> None:
    assert samples(web, "batchstatus_requests_total") == {}
    assert samples(web, "batchstatus_requests_total") == {("/metrics", "200"): 1}


def test_the_time_that_answers_take_is_a_histogram_by_route(web: FlaskClient) -> None:
    for _ in range(5):
        web.get("/livez")
    assert samples(web, "batchstatus_request_seconds_count")["/livez",] == 5
    assert 0 < samples(web, "batchstatus_request_seconds_sum")["/livez",] < 60
    buckets = samples(web, "batchstatus_request_seconds_bucket")
    within = [count for (_, route), count in buckets.items() if route == "/livez"]
    assert within == sorted(within)
    assert within[-1] == buckets["+Inf", "/livez"] == 5


def test_strangers_do_not_make_the_metrics_grow(web: FlaskClient, api_key: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}

    def grown_by(number: int) -> int:
        for path in ("/batch-import/jobs/{}", "/{}", "/batch-import/{}-jobs/x/failures"):
            web.get(path.format(f"id-{number}"), headers=headers)
            web.get(path.format(f"id-{number}"))
        return len(web.get("/metrics").text.splitlines())

    grown_by(0)
    assert grown_by(1) == max(map(grown_by, range(2, 10)))


def test_nothing_in_the_metrics_tells_who_asked_for_what(web: FlaskClient, api_key: str, job_id: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}", "X-Request-Id": "my-request"}
    for path in (f"/batch-import/jobs/{job_id}", f"/batch-import/jobs/{api_key}", f"/{ORG}/{job_id}?k={api_key}"):
        web.get(path, headers=headers)
    text = web.get("/metrics").text
    for secret in (api_key, api_key[:12], job_id, ORG, "my-request"):
        assert secret not in text
    families = text_string_to_metric_families(text)
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert labels == {"route", "status", "le"}


def test_the_metrics_are_prometheus_text_and_need_no_key(web: FlaskClient) -> None:
    answer = web.get("/metrics")
    assert (answer.status_code, answer.content_type) == (200, CONTENT_TYPE_LATEST)
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"batchstatus_store_errors", "batchstatus_settled_jobs", "batchstatus_breaker_open"} <= names
    assert {"batchstatus_requests", "batchstatus_request_seconds", "batchstatus_held_requests"} <= names


def test_each_request_that_the_store_lets_down_is_an_error_of_the_store(
    web: FlaskClient, store: JobStore, api_key: str, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    assert samples(web, "batchstatus_store_errors_total") == {(): 0}
    with monkeypatch.context() as patched:
        patched.setattr(store, "get", away)
        patched.setattr(store, "ping", away)
        for _ in range(FAILURES):
            web.get(f"/batch-import/jobs/{job_id}", headers={"Authorization": f"Bearer {api_key}"})
        assert samples(web, "batchstatus_store_errors_total") == {(): FAILURES}
        assert samples(web, "batchstatus_requests_total")[JOBS, "503"] == FAILURES
        assert samples(web, "batchstatus_breaker_open") == {(): 1}
    wait_until(lambda: samples(web, "batchstatus_breaker_open") == {(): 0})


def test_each_job_that_is_found_dead_is_counted_once(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(grace_s=0))
    web, job = create_app(store).test_client(), store.create(ORG, "transaction_batch")
    hasty = Connection(client, StoreSettings(lease_s=0.001, grace_s=0))
    verbs.claim(hasty, Keys("batchstatus").job(ORG, job.job_id), "token")
    headers = {"Authorization": f"Bearer {store.api_keys.create(ORG, ['events:create'])[0]}"}
    path = f"/batch-import/jobs/{job.job_id}"
    wait_until(lambda: web.get(path, headers=headers).json["job"]["status"] == "interrupted")
    web.get(path, headers=headers)
    assert samples(web, "batchstatus_settled_jobs_total") == {(): 1}


def test_what_a_reaper_has_measured_is_told_by_every_replica_until_it_is_old(
    web: FlaskClient, store: JobStore, client: "redis.Redis", job_id: str
) -> None:
    names = ("batchstatus_running_jobs", "batchstatus_oldest_heartbeat_seconds")
    assert [samples(web, name) for name in names] == [{}, {}]
    with store.run(ORG, job_id):
        Reaper(store).sweep()
    for each in (web, create_app(store).test_client()):
        assert samples(each, "batchstatus_running_jobs") == {(): 1}
        assert 0 <= samples(each, "batchstatus_oldest_heartbeat_seconds")[()] < 60
    client.delete(Keys("batchstatus").measured())
    assert [samples(web, name) for name in names] == [{}, {}]


def test_a_store_that_is_away_or_damaged_keeps_nobody_from_the_metrics(
    web: FlaskClient, store: JobStore, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    client.rpush(Keys("batchstatus").measured(), "no hash")
    assert samples(web, "batchstatus_running_jobs") == {}

    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(store.connection, "hash", away)
    assert samples(web, "batchstatus_running_jobs") == {}
    assert samples(web, "batchstatus_store_errors_total") == {(): 0}


def test_each_end_of_a_job_is_counted_once_by_its_status(web: FlaskClient, client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(grace_s=0))
    app = create_app(store)
    web, reapers = app.test_client(), [Reaper(store, app.parts.metrics.ended) for _ in range(2)]
    ends = {"completed": None, "failed": ValueError("boom"), "cancelled": JobCancelled()}
    assert samples(web, "batchstatus_ended_jobs_total") == dict.fromkeys([(each,) for each in TERMINAL], 0)
    for error in ends.values():
        with suppress(ValueError), store.run(ORG, store.create(ORG, "transaction_batch").job_id):
            if error:
                raise error
    store.control(ORG, store.create(ORG, "transaction_batch").job_id, "cancel")  # before any worker has it
    claim_and_vanish(client, dead := store.create(ORG, "transaction_batch"))
    leases = Leases(store.connection)
    for bucket in range(BUCKETS):
        for entry in leases.entries(bucket):
            leases.track(entry, 0)
    leases.track(store.connection.keys.lease_entry(ORG, dead.job_id), 0)
    wait_until(
        lambda: all(reaper.reap() is not None for reaper in reapers) and not client.keys("*:leases:{[0-9]*}")
    )
    for reaper in reapers:  # as one that had read the entry before another dropped it
        reaper._look_at(store.connection.keys.lease_entry(ORG, dead.job_id))
    ended = dict.fromkeys([(each,) for each in TERMINAL], 1) | {("cancelled",): 2}
    assert samples(web, "batchstatus_ended_jobs_total") == ended


# The directory that processes share


@pytest.fixture
def no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No directory is given; one that is made is made below `tmp_path`."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(metrics.DIRECTORY_VARIABLE, "anything")  # so that it is put back as it was
    monkeypatch.delenv(metrics.DIRECTORY_VARIABLE)


@pytest.mark.usefixtures("no_directory")
def test_a_directory_is_made_and_removed(tmp_path: Path) -> None:
    metrics.share_between_processes()
    (made,) = tmp_path.iterdir()
    assert (made.is_dir(), made.stat().st_mode & 0o077) == (True, 0)
    (made / "counter_1.db").touch()
    metrics.share_between_processes()
    assert list(tmp_path.iterdir()) == [made]
    metrics.remove_shared()
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_given_is_used_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.DIRECTORY_VARIABLE, str(tmp_path))
    metrics.share_between_processes()
    metrics.remove_shared()
    assert tmp_path.is_dir()


@pytest.mark.usefixtures("no_directory")
def test_without_one_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    metrics.remove_shared()
    assert (tmp_path / "mine").exists()


def test_of_a_process_that_has_ended_the_counts_stay_and_the_gauges_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(metrics.DIRECTORY_VARIABLE, str(tmp_path))
    for name in ("counter_7.db", "gauge_livesum_7.db", "gauge_livesum_77.db"):
        (tmp_path / name).touch()
    metrics.forget_process(7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_7.db", "gauge_livesum_77.db"]


def counted(made: metrics.Metrics) -> float | None:
    labels = {"route": "/livez", "status": "200"}
    return made._registry.get_sample_value("batchstatus_requests_total", labels)


def test_what_a_request_adds_is_written_soon_though_nobody_asks() -> None:
    made = metrics.Metrics()
    for _ in range(3):
        made.answered("/livez", 200, 0.001)
    wait_until(lambda: counted(made) == 3)
    made.answered("/livez", 200, 0.001)
    wait_until(lambda: counted(made) == 4)


def test_many_requests_are_written_at_once_and_do_not_wait_for_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: started.append(timer))
    made = metrics.Metrics()
    for times in range(1, 2 * metrics.MOST_NOTED + 1):
        made.answered("/livez", 200, 0.001)
        assert (counted(made) or 0) == times // metrics.MOST_NOTED * metrics.MOST_NOTED
    assert len(started) == 1


def test_where_no_thread_is_to_be_had_it_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", no_thread)
    made = metrics.Metrics()
    for times in (1, 2):
        made.answered("/livez", 200, 0.001)
        assert counted(made) == times


def test_a_forked_process_writes_what_it_adds_itself_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: started.append(timer))
    made = metrics.Metrics()
    made.answered("/livez", 200, 0.001)
    monkeypatch.setattr("os.getpid", lambda: -1)  # as it is after a fork
    made.answered("/livez", 200, 0.001)
    assert len(started) == 2
    made.write()
    assert counted(made) == 1


def test_a_worker_of_gunicorns_that_ends_writes_what_it_has_only_noted(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for once_a_process in ("share_between_processes", "_end_processes_that_boot"):
        monkeypatch.setattr(server, once_a_process, lambda: None)
    monkeypatch.setattr(threading.Timer, "start", lambda _: None)
    app = create_app(store)
    app.test_client().get("/livez")
    assert not counted(app.parts.metrics)
    worker_exit = server.Server(Settings.from_env({"BATCHSTATUS_REDIS_URL": "redis://store"})).cfg.worker_exit
    worker_exit(None, None)
    assert counted(app.parts.metrics) == 1
