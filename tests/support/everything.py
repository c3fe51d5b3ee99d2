"""Every operation on a store: all lives of a job, its rows, history, API keys, the reaper."""

from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from batchstatus import Job, JobNotFound, JobStore, LeaseLost
from batchstatus.jobs.looks import Expiries, Leases
from batchstatus.jobs.parts import PartTransitions
from batchstatus.protocol.verbs import claim
from batchstatus.reaper import Reaper
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.transport.urls import open_client
from tests.support.imports import PAUSED, aside, importing
from tests.support.sdk import ORG, UNHURRIED, counters, rejected, skipped
from tests.support.waiting import wait_until

KIND = "transaction_batch"
LONG_MS = 60_000


class Store:
    """A store at `url`, with workers that vanish and jobs that expire."""

    def __init__(self, url: str, **options: Any) -> None:
        self._settings = StoreSettings(lease_s=3.0, grace_s=0.1, **{**UNHURRIED, **options})
        self._url = url
        self.store = JobStore.open(url, self._settings)

    def vanish(self, job: Job) -> None:
        """Claim the job for 1 ms, enter it into the lease index, and never report again."""
        hasty = replace(self._settings, lease_s=0.001, grace_s=0)
        with closing(Connection(partial(open_client, self._url, self._settings), hasty)) as connection:
            claim(connection, connection.keys.job(ORG, job.job_id), "vanished")
            Leases(connection).track(connection.keys.lease_entry(ORG, job.job_id), 0)

    def vanish_with_part(self, job: Job, part: int) -> None:
        """Claim a part of the job for 1 ms, and never report again."""
        with closing(Connection(partial(open_client, self._url, self._settings), self._settings)) as connection:
            PartTransitions(connection, ORG, job.job_id, part).claim("vanished", 1)

    def look_for_expired(self, job: Job, *, gone: bool = False) -> None:
        """Sweep with this job due for a look; delete the job first if it is to be `gone`."""
        connection = self.store.connection
        if gone:
            connection.command("DEL", connection.keys.job(ORG, job.job_id).job)
        Expiries(connection).put_off(connection.keys.expiry_entry(ORG, job.job_id), 0)
        Reaper(self.store).sweep()


def do_everything(url: str, **options: Any) -> None:
    """Do and check everything that the service, workers and `batchstatus keys` can do."""
    opened = Store(url, **options)
    with closing(opened.store) as store:
        store.ping()
        _is_run(store)
        _is_controlled(store)
        _is_given_back_and_taken_over(store)
        _vanishes_and_is_taken_over(opened)
        _vanishes_and_is_reaped(opened)
        _is_run_in_parts(opened)
        _is_listed(store)
        _is_swept(opened)
        _has_keys(store)


def _create(store: JobStore, **options: Any) -> Job:
    job = store.create(ORG, KIND, metadata={"fileName": "november.csv"}, **options)
    assert store.create(ORG, KIND, metadata={"fileName": "november.csv"}, job_id=job.job_id, **options) == job
    return job


def _is_run(store: JobStore) -> None:
    job = _create(store)
    with store.run(ORG, job.job_id) as run:
        run.total(4)
        run.succeeded(2, checkpoint=2)
        run.failed(rejected(3))
        run.skipped(skipped(4))
    outcome = store.outcome(ORG, job.job_id)
    assert (outcome.job.status, counters(outcome.job)) == ("completed", (2, 1, 1))
    assert (len(outcome.failures), len(outcome.skips)) == (1, 1)
    assert store.failures(ORG, job.job_id) == list(outcome.failures)
    assert list(store.failure_pages(ORG, job.job_id)[1]) == [list(outcome.failures)]
    assert store.get_many(ORG, [job.job_id, "unknown"]) == {job.job_id: outcome.job}
    seen, unknown = store.reader.look_at([(ORG, job.job_id), (ORG, "unknown")])
    assert (seen and seen.state, unknown) == ("completed", None)
    with pytest.raises(JobNotFound):
        store.get(ORG, "unknown")


def _is_controlled(store: JobStore) -> None:
    queued, job = _create(store), _create(store)
    assert store.control(ORG, queued.job_id, "cancel").status == "cancelled"
    worker = aside(lambda: importing(store, job))
    wait_until(lambda: store.get(ORG, job.job_id).done)
    store.control(ORG, job.job_id, "pause")
    wait_until(lambda: PAUSED in store.get(ORG, job.job_id).metadata)
    before = store.control(ORG, job.job_id, "resume").done
    wait_until(lambda: store.get(ORG, job.job_id).done > before)
    store.control(ORG, job.job_id, "cancel")
    worker.result(60)
    assert store.get(ORG, job.job_id).status == "cancelled"


def _is_given_back_and_taken_over(store: JobStore) -> None:
    job = _create(store, takeover_s=60)
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded(checkpoint=1)
        raise SystemExit
    with store.run(ORG, job.job_id) as run:
        assert run.checkpoint == 1
        run.succeeded(checkpoint=2)
    assert store.get(ORG, job.job_id).succeeded == 2


def _vanishes_and_is_taken_over(opened: Store) -> None:
    job = _create(opened.store, takeover_s=60)
    opened.vanish(job)
    with opened.store.run(ORG, job.job_id, wait_s=15) as run:
        run.succeeded()
    assert opened.store.get(ORG, job.job_id).status == "completed"


def _vanishes_and_is_reaped(opened: Store) -> None:
    job, reaper = _create(opened.store), Reaper(opened.store)
    opened.vanish(job)
    wait_until(lambda: reaper.reap() == 1)
    assert opened.store.get(ORG, job.job_id).status == "interrupted"


def _is_run_in_parts(opened: Store) -> None:
    store, reaper = opened.store, Reaper(opened.store)
    job, doomed = store.split(ORG, _create(store, takeover_s=60).job_id, 2), _create(store, parts=2)
    for part in (2, 1):
        opened.vanish_with_part(job, part)
        with store.run(ORG, job.job_id, part=part, wait_s=15) as run:
            run.failed(rejected(part))
            run.succeeded()
    outcome = store.outcome(ORG, job.job_id)
    assert (outcome.job.status, counters(outcome.job)) == ("completed", (2, 2, 0))
    assert [row["externalId"] for row in outcome.failures] == ["T-1", "T-2"]
    assert list(store.failure_pages(ORG, job.job_id)[1]) == [list(outcome.failures)]
    opened.vanish_with_part(doomed, 2)
    wait_until(lambda: reaper.reap() == 1)
    assert [part.status for part in store.parts(ORG, doomed.job_id)] == ["interrupted"] * 2
    held = _create(store, parts=2)
    with suppress(LeaseLost), store.run(ORG, held.job_id, part=1):
        assert "batchCancelRequested" in store.control(ORG, held.job_id, "cancel").metadata
    assert store.get(ORG, held.job_id).status == "cancelled"


def _is_listed(store: JobStore) -> None:
    created = {_create(store).job_id for _ in range(2)}
    first = store.list(ORG, kinds=[KIND], statuses=["queued"], limit=1)
    second = store.list(ORG, kinds=[KIND], statuses=["queued"], limit=1, cursor=first.next_cursor)
    assert {job.job_id for job in first.jobs + second.jobs} == created


def _is_swept(opened: Store) -> None:
    job = _create(opened.store)
    opened.look_for_expired(job)
    assert job in opened.store.list(ORG).jobs
    opened.look_for_expired(job, gone=True)
    assert job not in opened.store.list(ORG).jobs


def _has_keys(store: JobStore) -> None:
    key, record = store.api_keys.create(ORG, ["transactions:create"], name="polls", expires_in_s=60)
    assert store.api_keys.verify(key) == record
    assert record in store.api_keys.list(ORG)
    ticket, of_key = store.tickets.create(ORG, api_key=key)
    assert store.tickets.verify(ticket) == of_key
    assert of_key in store.tickets.list(ORG)
    other, kept = store.tickets.create(ORG)
    store.api_keys.revoke(record.id)
    assert store.api_keys.verify(key) is store.tickets.verify(ticket) is None
    store.tickets.revoke(kept.id)
    assert store.tickets.verify(other) is None
