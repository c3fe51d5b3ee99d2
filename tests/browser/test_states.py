"""Each state of a job looks right and says what is going on: small and wide, light and dark, axe finds nothing."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis

from batchstatus import JobAborted, JobCancelled, JobStore
from tests.browser.conftest import assert_fine
from tests.support.wire import ORG, job_key, put_job

pytestmark = pytest.mark.slow

KIND = "transaction_batch"
Open = Callable[..., Any]

ENDED: dict[str, tuple[int, int, int | None, BaseException | None, str, str]] = {
    "completed": (12_840, 0, None, None, "Completed", "Done: all 12,840 rows are through."),
    "partly": (980, 20, None, None, "Completed", "Done, but 20 rows of 1,000 failed."),
    "million": (999_000, 1_000, None, None, "Completed", "Done, but 1,000 rows of 1,000,000 failed."),
    "empty": (0, 0, None, None, "Completed", "Done: there were no rows."),
    "failed": (
        40,
        3,
        1_000,
        JobAborted("BAD", "no header", {"line": 1}),
        "Failed",
        "The import failed: no header",
    ),
    "cancelled": (40, 3, 1_000, JobCancelled(), "Cancelled", "Cancelled after 43 of 1,000 rows."),
    "interrupted": (
        *(40, 3, 1_000, SystemExit(), "Interrupted"),
        "The worker died after 43 of 1,000 rows, and none took over.",
    ),
}
"""For each end: succeeded and failed rows, the total, what the importer raises, and what the page says."""

ALIVE: dict[str, tuple[dict[str, Any], str, str]] = {
    "queued": ({"status": "queued"}, "Queued", "Waiting for a worker."),
    "running": ({}, "Running", "The import is running."),
    "unknown": ({"totalItems": ""}, "Running", "The import is running."),
    "silent": ({"heartbeat_s": -40}, "Running", "No sign of life from the worker."),
    "dead": ({"heartbeat_s": -40, "lease_s": -8}, "Worker silent", "The worker has not been heard of."),
    "awaiting": (
        {"heartbeat_s": -40, "lease_s": -8, "batchAwaitingWorker": "1", "takeoverMs": "3600000"},
        *("Waiting for a worker", "The worker died. Another one may take over where it stopped."),
    ),
    "pausing": ({"batchPauseRequested": "1"}, "Pausing", "Pausing."),
    "paused": ({"batchPauseRequested": "1", "batchPaused": "1"}, "Paused", "Paused at 4,120 of 10,000 rows."),
    "cancelling": ({"batchCancelRequested": "1"}, "Cancelling", "Cancelling."),
}
"""For each state of a job at work: the fields of its hash that make it so, and what the page says."""


def ended(store: JobStore, state: str) -> str:
    succeeded, failed, total, error, *_ = ENDED[state]
    job = store.create(ORG, KIND, total_items=total, metadata={"fileName": f"{state}.csv", "mode": "upsert"})
    with suppress(JobAborted, SystemExit), store.run(ORG, job.job_id) as run:
        if total is None:
            run.total(succeeded + failed)
        run.succeeded(succeeded)
        for number in range(failed):
            run.failed({"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": "no amount" * 20})
        if error:
            raise error
    return job.job_id


def at_work(client: "redis.Redis", state: str) -> str:
    given, now = dict(ALIVE[state][0]), int(time.time() * 1_000)
    times = {
        "createdAt": now - 600_000,
        "heartbeatAt": now + 1_000 * given.pop("heartbeat_s", 3_600),  # ahead: it stays fresh while the test looks
        "leaseExpiresAt": now + 1_000 * given.pop("lease_s", 3_600),
    }
    metadata, at = json.dumps({"fileName": f"{state}.csv"}), times["heartbeatAt"]
    fields = {
        "status": "running",
        "totalItems": 10_000,
        "succeeded": 4_120,
        "claimedAt": at - 60_000,
        "pace": f"{at} {at - 5_000} 3_820 {at - 10_000} 3_520 {at - 60_000} 520".replace("_", ""),
        **times,
        "metadata": metadata,
        **given,
    }
    if state == "queued":
        fields = {name: fields[name] for name in ("status", "createdAt", "metadata")}
    return put_job(client, state, **{name: value for name, value in fields.items() if value != ""})


@pytest.mark.parametrize("state", [*ENDED, *ALIVE])
def test_a_state_says_what_is_going_on(
    open_page: Open, store: JobStore, client: "redis.Redis", url: str, key: str, axe: Any, state: str
) -> None:
    job_id = ended(store, state) if state in ENDED else at_work(client, state)
    label, headline = ENDED[state][4:] if state in ENDED else ALIVE[state][1:]
    page = open_page(f"{url}/ui/jobs/{job_id}#key={key}", bypass_csp=True)  # for axe; test_pages has the policy
    page.locator("#status", has_text=label).wait_for()
    assert page.locator("#headline").text_content() == headline
    assert page.evaluate("document.body.dataset.state") == state.replace("million", "partly").replace(
        "unknown", "running"
    )
    assert str(page.locator("#advice").text_content()).endswith(".")
    # A pace is of the last heartbeat: of a worker that is not heard of, or that waits, it says nothing.
    has_pace = "rows/s" in str(page.locator("#pace").text_content())
    assert has_pace == (state in ("running", "unknown", "pausing", "cancelling"))
    if state in ENDED and ENDED[state][1]:
        page.locator("#failures tbody td").first.wait_for()
    assert_fine(page, axe)


def test_a_job_that_ended_early_without_a_total_shows_no_percentage(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    job = store.create(ORG, KIND)
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded(40)
        raise SystemExit
    page = open_page(f"{url}/ui/jobs/{job.job_id}#key={key}")
    page.locator("#status", has_text="Interrupted").wait_for()
    assert [page.locator(each).text_content() for each in ("#percent", "#done")] == ["40", "rows"]
    assert page.get_by_role("progressbar").get_attribute("aria-valuenow") is None


@pytest.mark.parametrize("path", ["jobs/silent", ""])
def test_a_heartbeat_is_seen_though_it_is_no_event(
    open_page: Open, store: JobStore, client: "redis.Redis", url: str, key: str, path: str
) -> None:
    job_id = at_work(client, "silent")
    if not path:
        created_ms = client.hget(job_key(job_id), "createdAt")
        client.zadd(store.connection.keys.index(ORG, KIND, "running"), {job_id: created_ms})
    page = open_page(f"{url}/ui/{path}#key={key}")
    page.locator(".pill[data-tone=warn]").wait_for()
    client.hset(job_key(job_id), "heartbeatAt", int(time.time() * 1_000) + 3_600_000)
    page.locator(".pill[data-tone=busy]").wait_for()


def test_the_other_pages_have_no_barriers(open_page: Open, store: JobStore, url: str, key: str, axe: Any) -> None:
    page = open_page(f"{url}/ui/", bypass_csp=True)
    page.locator("#secret").wait_for()
    assert_fine(page, axe)
    page.goto(f"{url}/ui/jobs/nowhere#key={key}")
    page.locator("#missing h1").wait_for()
    assert_fine(page, axe)
    page.goto(f"{url}/ui/")
    page.locator("#empty h2").wait_for()
    assert_fine(page, axe)
    for name in ("a" * 200, "Two words.csv"):
        store.create(ORG, KIND, metadata={"fileName": name})
    page.locator("#jobs li").nth(1).wait_for()
    assert_fine(page, axe)
