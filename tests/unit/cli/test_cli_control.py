"""`batchstatus control` on a live service: its effect, its output and its exit codes."""

import json
import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from batchstatus import Job, JobStore, Status, cli
from batchstatus.model.job import CONTROL_FLAGS
from tests.support.service import LiveService

ORG, KIND = "org_acme", "transaction_batch"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there
CANCEL, PAUSE, PAUSED, _ = CONTROL_FLAGS

Result = tuple[int, str, str]
Control = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BATCHSTATUS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def control(
    live: LiveService,
    real_store: JobStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Control:
    """Returns a function that runs `batchstatus control …` with a valid key: exit code, stdout, stderr."""
    monkeypatch.setenv("BATCHSTATUS_URL", live.url)
    monkeypatch.setenv("BATCHSTATUS_API_KEY", _key(real_store, "transactions:create"))

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = cli.main(["control", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def job(real_store: JobStore) -> Job:
    return real_store.create(ORG, KIND, total_items=1_000, metadata={"fileName": "año.csv"})


def _key(store: JobStore, permission: str, org: str = ORG) -> str:
    return store.api_keys.create(org, [permission])[0]


def assert_refused(result: Result, code: int, *words: str) -> None:
    """Assert the exit code, one line on stderr that contains `words`, and no other output."""
    exit_code, printed, said = result
    assert (exit_code, printed) == (code, "")
    assert re.fullmatch(r"batchstatus: .*\n", said)
    for word in words:
        assert word in said


def flags(store: JobStore, job: Job) -> set[str]:
    return {*store.get(ORG, job.job_id).metadata} & {*CONTROL_FLAGS}


def test_a_running_job_is_printed_with_what_is_requested(control: Control, real_store: JobStore, job: Job) -> None:
    line = f"{job.job_id}: {{}}, 0 of 1,000 rows: 0 succeeded, 0 failed, 0 skipped\n"
    with real_store.run(ORG, job.job_id):
        assert control(job.job_id, "pause") == (0, line.format("pausing"), "")
        assert flags(real_store, job) == {PAUSE}
        assert control(job.job_id, "resume") == (0, line.format("running"), "")
        assert flags(real_store, job) == set()
        assert control(job.job_id, "cancel") == (0, line.format("cancelling"), "")
        assert flags(real_store, job) == {CANCEL}
    assert real_store.get(ORG, job.job_id).status is Status.CANCELLED


def test_cancelling_a_queued_job_succeeds_and_can_be_repeated(
    control: Control, real_store: JobStore, job: Job
) -> None:
    line = f"{job.job_id}: cancelled, 0 of 1,000 rows: 0 succeeded, 0 failed, 0 skipped\n"
    assert control(job.job_id, "cancel") == (0, line, "")
    assert control(job.job_id, "cancel") == (0, line, "")  # a repetition changes nothing
    assert real_store.get(ORG, job.job_id).status is Status.CANCELLED


@pytest.mark.parametrize(
    ("action", "status", "asked"),
    [("pause", "queued", {PAUSE: True}), ("resume", "queued", {}), ("cancel", "cancelled", {})],
)
def test_the_json_output_is_the_job_as_on_the_wire(
    control: Control, job: Job, action: str, status: str, asked: dict[str, Any]
) -> None:
    code, printed, said = control(job.job_id, action, "--json")
    assert (code, said, printed.count("\n")) == (0, "", 1)
    found = json.loads(printed)
    assert (found["jobId"], found["kind"], found["status"]) == (job.job_id, KIND, status)
    assert found["metadata"] == {"fileName": "año.csv", **asked}
    assert "año.csv" in printed
    assert found["totalItems"] == 1_000


def test_service_and_key_may_be_given_as_options(
    control: Control, live: LiveService, real_store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = real_store.create("org_other", "user_event_batch")
    monkeypatch.setenv("BATCHSTATUS_URL", NOBODY)
    monkeypatch.setenv("BATCHSTATUS_API_KEY", "bsk_wrong")
    key = _key(real_store, "events:create", "org_other")
    assert control(job.job_id, "cancel", "--url", live.url, "--api-key", key)[0] == 0
    assert real_store.get("org_other", job.job_id).status is Status.CANCELLED


# Refusals: one line, no effect


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_an_ended_job_is_refused(control: Control, real_store: JobStore, job: Job, action: str) -> None:
    with real_store.run(ORG, job.job_id):
        pass
    assert_refused(control(job.job_id, action), 3, "409", "JOB_ALREADY_TERMINAL", "ended already")
    assert real_store.get(ORG, job.job_id).status is Status.COMPLETED


def test_an_unknown_or_foreign_job_is_refused(control: Control, real_store: JobStore) -> None:
    other = real_store.create("org_other", KIND)
    for job_id in ("unknown", other.job_id, "no such id", ".."):
        assert_refused(control(job_id, "cancel"), 3)
    assert real_store.get("org_other", other.job_id).status is Status.QUEUED


def test_a_key_without_the_permission_of_the_kind_is_refused(
    control: Control, real_store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = _key(real_store, "events:create")
    monkeypatch.setenv("BATCHSTATUS_API_KEY", key)
    result = control(job.job_id, "cancel")
    assert_refused(result, 3, "403", "FORBIDDEN", "transactions:create")
    assert key not in result[2]
    assert real_store.get(ORG, job.job_id) == job


def test_an_unknown_key_is_refused(control: Control, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSTATUS_API_KEY", "bsk_" + "A" * 43)
    assert_refused(control(job.job_id, "cancel"), 3, "401")


def test_an_unreachable_service_is_reported(control: Control, job: Job) -> None:
    assert_refused(
        control(job.job_id, "cancel", "--url", NOBODY),
        3,
        f"{NOBODY} cannot be reached: Connection refused (BATCHSTATUS_URL)",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["J", "explode"], ["explode", "pause", "resume", "cancel"]),
        (["J", "PAUSE"], ["PAUSE"]),
        (["J"], ["pause", "resume", "cancel"]),
        ([], ["JOB"]),
        (["J", "pause", "now"], ["now"]),
        (["J", "pause", "--url", "ftp://x"], ["ftp://x"]),
        (["J", "pause", "--api-key", "two words"], ["api_key"]),
    ],
)
def test_wrong_usage_is_refused(control: Control, arguments: list[str], words: list[str]) -> None:
    assert_refused(control(*arguments), 2, *words)


@pytest.mark.parametrize("variable", ["BATCHSTATUS_URL", "BATCHSTATUS_API_KEY"])
def test_a_missing_variable_is_named_by_its_option(
    control: Control, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv(variable)
    option = variable.removeprefix("BATCHSTATUS_").lower().replace("_", "-")
    assert_refused(control("J", "pause"), 2, f"give --{option} or set {variable}")
