"""A CSV download is cut if the store fails half-way, and never looks complete (contract §3)."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.client import HTTPResponse, IncompleteRead

import pytest

from batchstatus import Kind
from tests.support.outage import Stage, mend, own_stage
from tests.support.rawhttp import connect, download, read_to_the_end
from tests.support.waiting import wait_until
from tests.support.wire import CSV, job_key, put_job
from tests.support.wire import FAILURES as FAILURES_OF

pytestmark = pytest.mark.slow

# Far more than the kernel's buffers hold: while the caller does not read, the service cannot have sent everything.
ROWS, ROW = 20_000, f'{{"externalId":"T-1","code":"VALIDATION_ERROR","message":"{"x" * 1_000}"}}'
FAILURES = f"{job_key('big')}:failures"
BUFFER = 4_096


@pytest.fixture(scope="module")
def own() -> Iterator[Stage]:
    with own_stage() as stage:
        yield stage


@pytest.fixture
def stage(own: Stage) -> Iterator[Stage]:
    """A stage whose store holds a large job."""
    own.client.delete(job_key("big"), FAILURES)
    put_job(own.client, "big", failures=[ROW] * ROWS)
    yield own
    mend(own)


def replace_rows(stage: Stage) -> None:
    with stage.client.pipeline() as pipeline:
        pipeline.delete(FAILURES).set(FAILURES, "no list", ex=60).execute()


TROUBLE: dict[str, Callable[[Stage], object]] = {
    "the store hangs": lambda stage: stage.server.pause(),
    "the store is killed": lambda stage: stage.server.kill(),
    "the job expires": lambda stage: stage.client.delete(job_key("big"), FAILURES),
    "the rows expire": lambda stage: stage.client.delete(FAILURES),
    "some rows are lost": lambda stage: stage.client.ltrim(FAILURES, 0, ROWS - 2),
    "the rows are replaced by something else": replace_rows,
}
WITH_TROUBLE = pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())


def slow_download(stage: Stage, version: str = "1.1") -> AbstractContextManager[HTTPResponse]:
    sent = stage.request(CSV[Kind.TRANSACTION_BATCH].format("big"), version=version)
    return download(stage.service.port, sent, BUFFER)


@WITH_TROUBLE
def test_a_cut_chunked_download_lacks_its_last_chunk(stage: Stage, trouble: Callable[[Stage], object]) -> None:
    with slow_download(stage) as response:
        assert (response.status, response.headers["Transfer-Encoding"]) == (200, "chunked")
        trouble(stage)
        with pytest.raises((IncompleteRead, ConnectionResetError)):
            response.read()


@WITH_TROUBLE
def test_a_cut_http_1_0_download_ends_with_a_reset(stage: Stage, trouble: Callable[[Stage], object]) -> None:
    with connect(stage.service.port, receive_buffer=BUFFER) as connection:
        connection.sendall(stage.request(CSV[Kind.TRANSACTION_BATCH].format("big"), version="1.0"))
        assert connection.recv(12) == b"HTTP/1.0 200"
        trouble(stage)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(connection)


def test_a_csv_whose_rows_the_store_has_lost_is_cut_and_counted(stage: Stage) -> None:
    stage.client.ltrim(FAILURES, 0, 2)
    lost = "batchstatus_lists_with_losses_total"
    before = stage.service.metric(lost)
    with slow_download(stage) as response, pytest.raises((IncompleteRead, ConnectionResetError)):
        response.read()
    assert stage.get(FAILURES_OF[Kind.TRANSACTION_BATCH].format("big")).status == 200
    wait_until(lambda: stage.service.metric(lost) == before + 2)


def test_rows_added_during_a_download_do_no_harm(stage: Stage) -> None:
    with slow_download(stage) as response:
        stage.client.rpush(FAILURES, *[ROW] * 1_000)
        assert response.read().count(b"\r\n") == ROWS + 1


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_download_from_a_killed_service_does_not_look_complete(stage: Stage, version: str) -> None:
    with slow_download(stage, version) as response:
        for pid in stage.service.process_ids():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises((IncompleteRead, ConnectionResetError)):
            response.read()
