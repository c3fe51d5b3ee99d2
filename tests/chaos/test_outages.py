"""The store hangs, dies, comes back, or loses answers while workers run: nothing is counted wrong."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import batchstatus
from batchstatus import JobStore, Status, StoreUnavailable
from batchstatus.embedded import EmbeddedServer
from tests.chaos.importing import assert_exact, import_until_told
from tests.support.importers import Importer
from tests.support.nodes import KEEPS_DATA
from tests.support.proxy import LossyProxy
from tests.support.sdk import ORG
from tests.support.settling import Settler
from tests.support.waiting import wait_until

LEASE_S, GRACE_S = 0.5, 5.0  # on a busy machine a worker needs seconds to be heard again
OPTIONS = {"lease_s": LEASE_S, "grace_s": GRACE_S, "timeout_s": 0.3}


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server of this test's own, which loses nothing that it has acknowledged."""
    with EmbeddedServer(*KEEPS_DATA) as server:
        yield server


@pytest.fixture
def store(server: EmbeddedServer) -> Iterator[JobStore]:
    """A store for the test's own looks. It waits as long as a busy machine takes, unlike those of the workers."""
    store = batchstatus.connect(server.url, **{**OPTIONS, "timeout_s": 20})
    yield store
    store.close()


@pytest.fixture
def hasty(server: EmbeddedServer) -> Iterator[JobStore]:
    """A store that gives up as soon as those of the workers do."""
    store = batchstatus.connect(server.url, **OPTIONS)
    yield store
    store.close()


def importing(store: JobStore, url: str, workers: ExitStack) -> tuple[str, Importer]:
    """Create a job and start a worker that imports until told to stop. Returns both."""
    job_id = store.create(ORG, "transaction_batch").job_id
    importer = workers.enter_context(Importer(import_until_told, url, job_id, OPTIONS))
    assert importer.told() == "running"
    return job_id, importer


def goes_on(store: JobStore, job_id: str) -> None:
    """Wait until a report of the worker arrives."""
    before = store.get(ORG, job_id).done
    wait_until(lambda: store.get(ORG, job_id).done > before, 30)


def reachable(store: JobStore) -> bool:
    try:
        store.ping()
    except StoreUnavailable:
        return False
    return True


def ends_exact(store: JobStore, job_id: str, importer: Importer) -> None:
    """Let the worker complete its job, and assert that the counters are exact."""
    importer.tell("stop")
    assert_exact(store, job_id, importer.told())


@pytest.mark.slow
def test_workers_outlive_a_store_that_hangs_longer_than_their_leases(
    server: EmbeddedServer, store: JobStore, hasty: JobStore
) -> None:
    with ExitStack() as workers:
        jobs = [importing(store, server.url, workers) for _ in range(3)]
        with Settler(hasty, [job_id for job_id, _ in jobs]) as settler:
            for hangs_s in (LEASE_S + GRACE_S + 0.5, 2 * LEASE_S):
                for job_id, _ in jobs:
                    goes_on(store, job_id)
                server.pause()
                time.sleep(hangs_s)
                server.resume()
                back = settler.looks
                wait_until(lambda back=back: settler.looks > back, 30)  # type: ignore[misc]
            for job_id, importer in jobs:
                goes_on(store, job_id)
                ends_exact(store, job_id, importer)
    assert settler.failed_looks > 0
    assert settler.statuses <= {Status.RUNNING, Status.COMPLETED}


@pytest.mark.slow
def test_workers_that_reconnect_after_a_look_get_their_grace(server: EmbeddedServer, store: JobStore) -> None:
    with LossyProxy(server.port) as proxy, ExitStack() as workers:
        jobs = [importing(store, proxy.url, workers) for _ in range(3)]
        for job_id, _ in jobs:
            goes_on(store, job_id)
        server.pause()
        proxy.cut()
        time.sleep(LEASE_S + GRACE_S + 0.5)
        server.resume()
        with Settler(store, [job_id for job_id, _ in jobs]) as settler:
            wait_until(lambda: settler.seen_past_lease >= len(jobs), 30)
            proxy.mend()
            for job_id, importer in jobs:
                goes_on(store, job_id)
                ends_exact(store, job_id, importer)
    assert settler.statuses <= {Status.RUNNING, Status.COMPLETED}


@pytest.mark.slow
def test_workers_outlive_a_store_that_is_killed_and_restarted(server: EmbeddedServer, store: JobStore) -> None:
    with ExitStack() as workers:
        jobs = [importing(store, server.url, workers) for _ in range(3)]
        for away_s in (0, 0.2, LEASE_S + GRACE_S + 0.5):
            for job_id, _ in jobs:
                goes_on(store, job_id)
            server.kill()
            time.sleep(away_s)
            server.start()
            wait_until(lambda: reachable(store))
        for job_id, importer in jobs:
            goes_on(store, job_id)
            ends_exact(store, job_id, importer)


@pytest.mark.slow
def test_reports_whose_answers_are_lost_count_once(server: EmbeddedServer, store: JobStore) -> None:
    with LossyProxy(server.port) as proxy, ExitStack() as workers:
        job_id, importer = importing(store, proxy.url, workers)
        for lost in range(1, 9):
            goes_on(store, job_id)
            proxy.swallowing = True
            wait_until(lambda lost=lost: proxy.swallowed >= lost, 30)  # type: ignore[misc]
            proxy.swallowing = False
        goes_on(store, job_id)
        ends_exact(store, job_id, importer)
