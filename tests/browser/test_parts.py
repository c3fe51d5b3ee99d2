"""The parts of a split job on its page: small bars, which say in colours, marks and words how each part is."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from batchstatus import JobStore
from batchstatus.model.job import Status
from batchstatus.model.messages import Batch, Claim, Ending
from tests.browser.conftest import assert_fine
from tests.support.sdk import rejected
from tests.support.waiting import wait_until
from tests.support.wire import ORG

pytestmark = pytest.mark.slow

KIND = "transaction_batch"
ROWS = 500
LEAST_MS = 2_000
"""The least time between two reads of the parts of a running job, with all jitter."""

READS = """() => performance.getEntriesByType("resource")
    .filter((each) => each.name.endsWith("?include=parts")).map((each) => each.startTime)"""
TAB_STOPS = """() => document.querySelectorAll("[role=option][tabindex='0']").length"""

Open = Callable[..., Any]


def split(store: JobStore, parts: int, takeover_s: float = 60) -> str:
    """Returns the id of a queued job in so many parts."""
    name = f"{parts} parts.csv"
    return store.create(ORG, KIND, metadata={"fileName": name}, parts=parts, takeover_s=takeover_s).job_id


def begun(store: JobStore, job_id: str, part: int, succeeded: int = 120, failed: int = 0) -> Claim:
    """Claim a part of 500 rows, and report so many."""
    steps = store.steps(ORG, job_id, part)
    claim = steps.claim(f"the worker of part {part}")
    failures = tuple(rejected(number) for number in range(failed))
    steps.report(claim, 1, Batch(succeeded, failures, total_items=ROWS), paused=False)
    return claim


def ended(store: JobStore, job_id: str, part: int, status: str = "completed", **rows: int) -> None:
    """Do a part up to this end; `interrupted` is a lease that is given back."""
    claim = begun(store, job_id, part, **(rows or ({"succeeded": ROWS} if status == "completed" else {})))
    store.steps(ORG, job_id, part).finish(claim, Ending(Status(status)), 1)


def opened(open_page: Open, url: str, job_id: str, key: str, **options: Any) -> Any:
    """The job's page, with the bars."""
    page = open_page(f"{url}/ui/jobs/{job_id}#key={key}", **options)
    page.locator("#parts [role=option]").first.wait_for()
    return page


def bar(page: Any, name: str) -> Any:
    """Returns the bar with this accessible name; fails if it is not there in time."""
    found = page.get_by_role("option", name=name, exact=True)
    found.wait_for()
    return found


def test_each_part_has_a_bar_with_a_name_a_state_and_a_mark(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    job_id = split(store, 5)
    ended(store, job_id, 1)
    begun(store, job_id, 2, 118, failed=2)
    ended(store, job_id, 3, "interrupted")
    store.steps(ORG, job_id, 4).claim("counts nothing yet")
    page = opened(open_page, url, job_id, key)
    names = {
        "part 1: completed, 500 of 500 rows": "completed",
        "part 2: running, 120 of 500 rows, 2 failed": "running",
        "part 3: waiting for a worker, 120 of 500 rows": "awaiting",
        "part 4: running, rows not counted yet": "running",
        "part 5: queued": "queued",
    }
    assert [bar(page, name).get_attribute("data-state") for name in names] == list(names.values())
    assert [bar(page, name).locator("path").count() for name in names] == [1, 0, 1, 0, 0]
    assert page.locator("#parts-title").text_content() == "5 parts"
    told = page.locator("#parts .legend li").all_text_contents()
    assert told == ["1 completed", "2 running", "1 waiting for a worker", "1 queued"]


def test_the_bars_are_live_and_their_reads_far_apart(open_page: Open, store: JobStore, url: str, key: str) -> None:
    job_id = split(store, 2)
    page = opened(open_page, url, job_id, key)
    bar(page, "part 1: queued")
    claims = {part: begun(store, job_id, part) for part in (1, 2)}
    bar(page, "part 2: running, 120 of 500 rows")
    for seq in range(2, 32):  # each is an event, and none a read
        store.steps(ORG, job_id, 1).report(claims[1], seq, Batch(10), paused=False)
    bar(page, "part 1: running, 420 of 500 rows")
    for part, seq in ((1, 31), (2, 1)):
        store.steps(ORG, job_id, part).finish(claims[part], Ending(Status.COMPLETED), seq)
    bar(page, "part 2: completed, 120 of 500 rows")
    page.locator("#connection", has_text="Final").wait_for()
    queued, *running, _last = page.evaluate(READS)
    assert queued < running[0]
    assert all(later - earlier >= LEAST_MS for earlier, later in pairwise(running))


def test_a_job_that_is_not_split_shows_no_parts_and_is_asked_once(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    job_id = store.create(ORG, KIND, total_items=2).job_id
    with store.run(ORG, job_id) as run:
        page = open_page(f"{url}/ui/jobs/{job_id}#key={key}")
        page.locator("#status", has_text="Running").wait_for()
        wait_until(lambda: len(page.evaluate(READS)) == 1)
        run.succeeded(2)
    page.locator("#status", has_text="Completed").wait_for()
    assert len(page.evaluate(READS)) == 1
    assert not page.locator("#parts").is_visible()


STOPPED = "and none took it over. The parts that had not ended stopped with it."
TROUBLE: dict[str, tuple[list[tuple[int, str]], float, str]] = {
    "failed": (
        [(3, "failed")],
        60,
        "Part 3 failed after 120 of 500 rows. The parts that had not ended stopped with it.",
    ),
    "dead": (
        [(3, "interrupted")],
        0,
        f"The worker of part 4 fell silent after 120 of 500 rows, {STOPPED}",
    ),
    "interrupted": (
        [(3, "interrupted")],
        0,
        f"A worker left its part, {STOPPED}",
    ),
    "awaiting": (
        [(3, "interrupted")],
        60,
        "Part 3 waits for another worker: its worker stopped after 120 of 500 rows.",
    ),
    "several": (
        [(part, "interrupted") for part in range(1, 9)],
        60,
        "Parts 1, 2, 3, 4, 5, and 3 more wait for another worker: their workers stopped.",
    ),
}
"""How parts end, the takeover window of their job, and what the page says."""


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_part_that_has_come_to_grief_is_pointed_out_in_words(
    open_page: Open, store: JobStore, url: str, key: str, axe: Any, trouble: str
) -> None:
    ends, takeover_s, words = TROUBLE[trouble]
    job_id = split(store, 16, takeover_s)
    begun(store, job_id, 10)
    if trouble == "dead":
        begun(store, job_id, 4)
        heartbeat = (store.connection.keys.parts(ORG, job_id).part(4).job, "heartbeatAt")
        store.connection.command("HINCRBY", *heartbeat, -60_000)
    for part, status in ends:
        ended(store, job_id, part, status)
    page = opened(open_page, url, job_id, key, bypass_csp=True)
    said = page.locator("#parts .note")
    said.wait_for()
    assert said.text_content() == words
    assert_fine(page, axe)


def test_a_job_is_not_called_dead_for_one_of_its_workers(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    job_id = split(store, 2)
    begun(store, job_id, 1)
    now = round(time.time() * 1_000)
    times = ("leaseExpiresAt", now - 5_000, "heartbeatAt", now + 3_600_000)
    store.connection.command("HSET", store.connection.keys.job(ORG, job_id).job, *times)
    page = opened(open_page, url, job_id, key)
    page.locator("#headline", has_text="The import is running.").wait_for()


def test_the_bars_are_one_tab_stop_with_arrow_keys_inside(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    job_id = split(store, 1_000)
    begun(store, job_id, 2)
    page = opened(open_page, url, job_id, key)
    assert page.evaluate(TAB_STOPS) == 1
    detail = page.locator("#parts .hint")
    page.locator("#cancel").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    detail.get_by_text("Part 2: running, 120 of 500 rows. Last heartbeat").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    detail.get_by_text("Part 1: queued.").wait_for()
    for keys, part in ((["ArrowLeft"], 1), (["End"], 1_000), (["ArrowDown", "ArrowRight"], 1_000), (["Home"], 1)):
        for each in keys:
            page.keyboard.press(each)
        detail.get_by_text(f"Part {part}: queued.", exact=True).wait_for()
    assert page.evaluate(TAB_STOPS) == 1
    page.locator("#parts [role=option]").nth(1).hover()
    detail.get_by_text("Part 2: running").wait_for()


@pytest.mark.parametrize("parts", [2, 16, 100, 1_000])
def test_any_number_of_parts_fits_and_has_no_barriers(
    open_page: Open, store: JobStore, url: str, key: str, axe: Any, parts: int
) -> None:
    job_id = split(store, parts)
    ended(store, job_id, 1, succeeded=490, failed=10)
    begun(store, job_id, 2)
    page = opened(open_page, url, job_id, key, bypass_csp=True)
    assert page.locator("#parts [role=option]").count() == parts
    assert_fine(page, axe)
