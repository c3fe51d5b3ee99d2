"""The adapter for RQ without a worker: what it refuses, and what it sends."""

from typing import Any

import pytest
import redis
from rq import Queue

from batchstatus import InvalidValue, JobStore, Run, Status
from batchstatus.integrations.rq import batch_task

ORG, KIND = "org_acme", "transaction_batch"


def make(store: JobStore, **options: Any) -> Any:
    queue = Queue("imports", connection=redis.Redis(port=1))

    @batch_task(queue, store, kind=KIND, **options)
    def import_file(run: Run, path: str) -> None:
        """Import a file."""

    return import_file


@pytest.mark.parametrize("name", ["retry", "on_stopped", "job_id", "depends_on"])
def test_an_option_that_is_the_adapters_is_refused(store: JobStore, name: str) -> None:
    with pytest.raises(InvalidValue, match=f"^{name} is the adapter's"):
        make(store, **{name: None})


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ({"max_crashes": 0}, "max_crashes"),
        ({"takeover_s": 90 * 86_400}, "the takeover window 7776000 s is longer"),
    ],
)
def test_a_wrong_option_is_named(store: JobStore, option: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidValue, match=wrong):
        make(store, **option)


def test_a_call_without_a_message_is_refused(store: JobStore) -> None:
    with pytest.raises(TypeError, match=r"import_file runs jobs: call enqueue\(org, …\)"):
        make(store)(ORG, "november.csv")


def test_a_broker_that_is_away_leaves_no_queued_job(store: JobStore) -> None:
    with pytest.raises(redis.ConnectionError):
        make(store).enqueue(ORG, "november.csv", job_id="november")
    assert store.get(ORG, "november").status is Status.CANCELLED
