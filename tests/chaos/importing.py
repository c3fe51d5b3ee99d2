"""The importers of the chaos tests, run in processes of their own, and checks of their results."""

import time
from collections import Counter
from typing import Any

import batchstatus
from batchstatus import JobStore, LeaseHeld, LeaseLost, Run, Status
from tests.support.importers import Importer, Link
from tests.support.load import insist
from tests.support.sdk import ORG, UNHURRIED, counters, rejected, skipped


def outcome(number: int) -> str:
    """Returns the outcome of row `number`. Failed and skipped rows come in no simple order."""
    return ("succeeded", "failed", "skipped", "succeeded", "failed")[number * number % 7 % 5]


def count(run: Run, number: int, *, checkpoint: int | None = None) -> str:
    """Count row `number`. Returns the outcome."""
    became = outcome(number)
    if became == "succeeded":
        run.succeeded(checkpoint=checkpoint)
    elif became == "failed":
        run.failed(rejected(number), checkpoint=checkpoint)
    else:
        run.skipped(skipped(number), checkpoint=checkpoint)
    return became


def assert_exact(store: JobStore, job_id: str, rows: int) -> None:
    """Assert that the job has completed, and that each of its rows 1 … `rows` counts exactly once, in order."""
    expected = Counter(map(outcome, range(1, rows + 1)))
    now = store.outcome(ORG, job_id, limit=max(rows, 1))
    assert (now.job.status, now.job.total_items) == (Status.COMPLETED, rows)
    assert counters(now.job) == (expected["succeeded"], expected["failed"], expected["skipped"])
    for name, found in {"failed": now.failures, "skipped": now.skips}.items():
        numbers = [number for number in range(1, rows + 1) if outcome(number) == name]
        assert [row["externalId"] for row in found] == [f"T-{number}" for number in numbers]


def trouble_at_the_end(store: JobStore, job_id: str, importer: Importer) -> list[str]:
    """Tell an importer to stop, so that it completes its job. Returns what is wrong with the result."""
    try:
        importer.tell("stop")
        rows = importer.told()
        insist(lambda: assert_exact(store, job_id, rows))
    except (AssertionError, EOFError, OSError) as error:
        return [f"{job_id}: {error!r:.500}"]
    return []


def import_rows(
    link: Link,
    url: str,
    job_id: str,
    rows: int,
    options: dict[str, Any],
    commit_rows: int = 1,
    at_most: int | None = None,
) -> None:
    """Claim the job, or take it over, and import the rest of `rows` rows as fast as reports are sent.

    Each row counts as it comes, and every `commit_rows`th has a checkpoint. With `at_most`, import no more than
    that, and then wait to be killed.
    """
    store = batchstatus.connect(url, **options)
    with store.run(ORG, job_id, wait_s=60, flush_s=0.001, flush_rows=10, max_waiting_rows=20) as run:
        link.send(run.checkpoint)
        run.total(rows)
        begin = run.checkpoint or 0
        for number in range(begin + 1, min(rows, begin + (at_most or rows)) + 1):
            run.check()
            count(run, number, checkpoint=None if number % commit_rows else number)
        if at_most:
            link.recv()
    link.send("completed")


def import_until_told(link: Link, url: str, job_id: str, options: dict[str, Any]) -> None:
    """Import row after row until told to stop; then complete the job and send the number of rows."""
    store = batchstatus.connect(url, **options)
    number = 0
    with store.run(ORG, job_id, wait_s=60, flush_s=0.02) as run:
        link.send("running")
        while not link.poll():
            run.check()
            number += 1
            count(run, number)
            time.sleep(0.001)
        run.total(number)
    link.send(number)


def import_until_fenced_out(link: Link, url: str, job_id: str, options: dict[str, Any]) -> None:
    """Import row after row until the lease is lost; then send the error."""
    store = batchstatus.connect(url, **options)
    number = 0
    try:
        with store.run(ORG, job_id, flush_s=0.02) as run:
            link.send("running")
            while True:
                run.check()
                number += 1
                count(run, number, checkpoint=number)
                time.sleep(0.001)
    except LeaseLost as lost:
        link.send(f"LeaseLost: {lost}")


def claim_each(link: Link, url: str, job_ids: list[str]) -> None:
    """Claim one job after the other, each on a message, and send whether the claim succeeded."""
    store = batchstatus.connect(url, **UNHURRIED)
    for job_id in job_ids:
        link.recv()
        try:
            with store.run(ORG, job_id):
                link.send("claimed")
                link.recv()
        except LeaseHeld:
            link.send("held")
            link.recv()
