"""The adapter for Dramatiq on its stub broker: what it refuses, sets and sends."""

from typing import Any

import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage

from batchstatus import InvalidValue, JobStore, Run, Status
from batchstatus.integrations.dramatiq import batch_task

ORG, KIND = "org_acme", "transaction_batch"


def make(store: JobStore, broker: StubBroker | None = None, **options: Any) -> Any:
    @batch_task(broker or StubBroker(), store, kind=KIND, **options)
    def import_file(run: Run, path: str) -> None:
        """Import a file."""

    return import_file


@pytest.mark.parametrize("name", ["retry_when", "throws", "min_backoff", "max_backoff", "max_age"])
def test_an_option_that_is_the_adapters_is_refused(store: JobStore, name: str) -> None:
    with pytest.raises(InvalidValue, match=f"^{name} is the adapter's"):
        make(store, **{name: None})


def test_a_window_beyond_the_retention_is_named(store: JobStore) -> None:
    with pytest.raises(InvalidValue, match="the takeover window 7776000 s is longer"):
        make(store, takeover_s=90 * 86_400)


def test_the_actor_has_no_time_limit_unless_one_is_given(store: JobStore) -> None:
    assert make(store).options["time_limit"] == float("inf")
    assert make(store, time_limit=60_000).options["time_limit"] == 60_000


def test_the_broker_gets_one_middleware_for_all_actors(store: JobStore) -> None:
    broker = StubBroker()
    for number in range(2):
        make(store, broker, actor_name=f"import_{number}")
    assert [type(each) for each in broker.middleware].count(CurrentMessage) == 1


def test_a_call_without_a_message_is_refused(store: JobStore) -> None:
    with pytest.raises(TypeError, match=r"import_file runs jobs: call enqueue\(org, …\)"):
        make(store)(ORG, "november.csv")


def test_the_messages_id_is_the_jobs(store: JobStore) -> None:
    broker = StubBroker()
    job = make(store, broker).enqueue(ORG, "november.csv", job_id="november")
    message = next(broker.consume("default", timeout=100))
    assert (message.message_id, message.args) == ("november", (ORG, "november.csv"))
    assert job.status is Status.QUEUED
