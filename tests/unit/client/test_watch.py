"""A watch: what it yields, and what is left when the loop is left."""

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import JobNotFound
from tests.unit.client.answers import answer, done, error, ok, tagged
from tests.unit.client.service import Server


def test_watch_yields_each_change_and_ends_at_a_terminal_status(client: Client, server: Server) -> None:
    server.says(ok(status="queued"), ok(succeeded=1), ok(succeeded=2), done(succeeded=3))
    assert [(job.status, job.succeeded) for job in client.watch("J")] == [
        ("queued", 412),
        ("running", 1),
        ("running", 2),
        ("completed", 3),
    ]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "interrupted"])
def test_watch_yields_an_ended_job_once(client: Client, server: Server, status: str) -> None:
    server.says(ok(status=status))
    assert [job.status for job in client.watch("J")] == [status]


def test_watch_does_not_yield_a_mere_heartbeat(client: Client, server: Server) -> None:
    later = "2026-11-23T15:09:09.999Z"
    server.says(ok(), ok(heartbeatAt=later), ok(leaseExpiresAt=later), done())
    assert [job.status for job in client.watch("J")] == ["running", "completed"]


def test_watch_yields_a_control_flag(client: Client, server: Server) -> None:
    server.says(ok(), ok(metadata={"batchCancelRequested": True}), done())
    assert [job.metadata for job in client.watch("J")][1] == {"batchCancelRequested": True}


def test_leaving_the_loop_closes_the_connection(client: Client, server: Server) -> None:
    server.says(ok())
    for _ in client.watch("J"):
        break
    assert server.ended.acquire(timeout=10)


def test_the_end_of_a_watch_and_an_error_close_the_connection(client: Client, server: Server) -> None:
    server.says(done(), error(404, "JOB_NOT_FOUND"))
    list(client.watch("J"))
    assert server.ended.acquire(timeout=10)
    with pytest.raises(JobNotFound):
        list(client.watch("J"))
    assert server.ended.acquire(timeout=10)


def test_the_client_is_usable_during_and_after_a_watch(client: Client, server: Server) -> None:
    failures = answer(body=b'{"failures": []}')
    server.says(tagged('"1"'), failures, done(), failures, ok())
    assert [client.failures(job.job_id)["failures"] for job in client.watch("J")] == [[], []]
    assert client.get("J").succeeded == 412
