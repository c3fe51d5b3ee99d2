"""The pages in a real Chromium: what people do with them."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from batchstatus import Job, JobStore, Run
from batchstatus.web import create_app
from tests.support.serving import served
from tests.support.waiting import wait_until
from tests.support.wire import ORG

pytestmark = pytest.mark.slow

KIND = "transaction_batch"
UNKNOWN = f"bsk_{'A' * 43}"
HOSTILE = "<img src=x onerror=alert(1)><b>bold</b>&amp; \u202egnp.exe"

HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
ASKED = """(path) => performance.getEntriesByType("resource")
    .map((each) => each.name).filter((name) => name.includes(path))"""
REFUSED = """addEventListener("batch-status-refused", (event) => { window.refused = event.detail; }, true)"""
RENEW = """(ticket) => document.querySelector("batch-status").setAttribute("ticket", ticket)"""
FILL = """getComputedStyle(document.querySelector("batch-status").shadowRoot.querySelector(".succeeded")).fill"""

Open = Callable[..., Any]


@contextmanager
def running(store: JobStore, total: int = 10, name: str = "november.csv") -> Iterator[tuple[Job, Run]]:
    """A job at work; its worker obeys control."""
    job = store.create(ORG, KIND, total_items=total, metadata={"fileName": name})
    over = threading.Event()
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        obeying = threading.Thread(target=_obey, args=(run, over))
        obeying.start()
        try:
            yield job, run
        finally:
            over.set()
            obeying.join()
        if store.get(ORG, job.job_id).status == "running":
            raise SystemExit


def _obey(run: Run, over: threading.Event) -> None:
    while not over.wait(0.05):
        with suppress(Exception):
            run.check()


def text(page: Any, selector: str) -> str:
    return str(page.locator(selector).text_content())


def waits_for(page: Any, selector: str, pattern: str) -> None:
    """Wait until an element's whole text matches."""
    page.locator(selector, has_text=re.compile(rf"^{pattern}$")).first.wait_for()


def job_page(url: str, job_id: str, secret: str) -> str:
    return f"{url}/ui/jobs/{job_id}#key={secret}"


# Sign-in


def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    store.create(ORG, KIND, metadata={"fileName": "november.csv"})
    page = open_page(f"{url}/ui/")
    field = page.get_by_label("API key or ticket")
    for secret, problem in (("secret", "A key begins with bsk_.*"), (UNKNOWN, "This key or ticket is unknown.*")):
        field.fill(secret)
        page.get_by_role("button", name="Show imports").click()
        waits_for(page, "#sign-in-problem", problem)
    field.fill(f" {key} ")
    field.press("Enter")
    waits_for(page, "#jobs .name", r"november\.csv")
    assert page.evaluate("Object.values(sessionStorage)") == [key]
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.reload()
    waits_for(page, "#jobs .name", r"november\.csv")
    page.get_by_role("button", name="Sign out").click()
    field.wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_ticket_in_the_address_is_taken_out_and_shows_its_job_alone(
    open_page: Open, store: JobStore, url: str
) -> None:
    with running(store) as (job, _):
        store.create(ORG, KIND)
        ticket, _ = store.tickets.create(ORG, job_id=job.job_id)
        page = open_page(f"{url}/ui/#ticket={ticket}")
        waits_for(page, "#name", r"november\.csv")
        assert page.url == f"{url}/ui/jobs/{job.job_id}"
        assert page.evaluate("history.length") <= 3
        assert not page.locator("#controls").is_visible()
        waits_for(page, "#whose", "org_acme · read-only ticket")


def test_a_page_whose_ticket_ends_says_so_and_asks_for_another(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    with running(store) as (job, _):
        ticket, record = store.tickets.create(ORG, job_id=job.job_id)
        page = open_page(job_page(url, job.job_id, ticket))
        waits_for(page, "#name", r"november\.csv")
        assert page.url == f"{url}/ui/jobs/{job.job_id}"
        store.tickets.revoke(record.id)
        waits_for(page, "#sign-in-problem", "This key or ticket has ended.*")
        assert not page.locator("#page").is_visible()
        page.get_by_label("API key or ticket").fill(key)
        page.get_by_role("button", name="Show the import").click()
        waits_for(page, "#name", r"november\.csv")


def test_a_job_that_is_not_there_is_told_in_words(open_page: Open, url: str, key: str) -> None:
    page = open_page(job_page(url, "nowhere", key))
    waits_for(page, "#missing h1", "There is no such import")


# Live


def test_a_job_is_shown_live_to_its_end(open_page: Open, store: JobStore, url: str, key: str) -> None:
    with running(store, total=4) as (job, run):
        page = open_page(job_page(url, job.job_id, key))
        waits_for(page, "#connection", "Live")
        bar = page.get_by_role("progressbar")
        run.succeeded()
        waits_for(page, "#done", "1 of 4 rows")
        assert bar.get_attribute("aria-valuenow") == "25"
        run.failed({"externalId": "T-2", "code": "VALIDATION_ERROR", "message": "no amount"})
        waits_for(page, "#failures td.message", "no amount")
        waits_for(page, "#percent", "50 %")
        run.succeeded(2)
        waits_for(page, "#done", "4 of 4 rows")
        assert page.title() == "100 % · november.csv"


def test_a_job_is_followed_to_its_end_over_one_request_and_asked_once_for_parts(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    job = store.create(ORG, KIND, total_items=2)
    with store.run(ORG, job.job_id) as run:
        page = open_page(job_page(url, job.job_id, key))
        waits_for(page, "#status", "Running")
        run.succeeded(2)
    waits_for(page, "#headline", "Done: all 2 rows are through.")
    waits_for(page, "#connection", "Final")
    assert not page.locator("#controls").is_visible()
    path = f"{url}/batch-import/jobs/{job.job_id}"
    asked = [each for each in page.evaluate(ASKED, path) if each != path]  # a read of the heartbeat, after 5 s
    assert sorted(asked) == [f"{path}/events", f"{path}?include=parts"]


def test_the_list_is_live(open_page: Open, store: JobStore, url: str, key: str) -> None:
    page = open_page(f"{url}/ui/#key={key}")
    waits_for(page, "#empty h2", "No imports yet")
    with running(store, total=4) as (_, run):
        waits_for(page, "#jobs .name", r"november\.csv")
        run.succeeded(3)
        waits_for(page, "#jobs .text", "3 of 4 rows.*")
        store.create(ORG, KIND, metadata={"fileName": "december.csv"})
        waits_for(page, "#jobs li:first-child .name", r"december\.csv")
        run.succeeded()
    waits_for(page, "#jobs li:last-child .pill", "Interrupted")


def test_a_lost_connection_comes_back(open_page: Open, store: JobStore, url: str, key: str) -> None:
    with running(store, total=4) as (job, run):
        page = open_page(job_page(url, job.job_id, key))
        run.succeeded()
        waits_for(page, "#done", "1 of 4 rows")
        page.context.set_offline(True)
        waits_for(page, "#connection", ".*Trying again…")
        run.succeeded()
        wait_until(lambda: store.get(ORG, job.job_id).done == 2)
        assert text(page, "#done") == "1 of 4 rows"
        page.context.set_offline(False)
        waits_for(page, "#done", "2 of 4 rows")
        waits_for(page, "#connection", "Live")


def test_a_hidden_tab_asks_for_nothing(open_page: Open, store: JobStore, url: str, key: str) -> None:
    with running(store, total=4) as (job, run):
        page = open_page(job_page(url, job.job_id, key))
        waits_for(page, "#connection", "Live")
        page.evaluate(HIDE, True)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        run.succeeded()
        wait_until(lambda: store.get(ORG, job.job_id).done == 1)
        page.wait_for_timeout(1_500)
        assert asked == []
        assert text(page, "#counters .succeeded dd") == "0"
        page.evaluate(HIDE, False)
        waits_for(page, "#done", "1 of 4 rows")


# Filters and pages


def test_jobs_are_filtered_and_the_address_says_how(open_page: Open, store: JobStore, url: str, key: str) -> None:
    store.create(ORG, KIND, metadata={"fileName": "queued.csv"})
    cancelled = store.create(ORG, "user_event_batch", metadata={"fileName": "cancelled.csv"})
    store.control(ORG, cancelled.job_id, "cancel")
    page = open_page(f"{url}/ui/#key={key}")
    names = page.locator("#jobs .name")
    names.nth(1).wait_for()
    page.get_by_role("button", name="Cancelled").click()
    names.nth(1).wait_for(state="detached")
    assert names.all_text_contents() == ["cancelled.csv"]
    assert page.url == f"{url}/ui/?status=cancelled"
    page.get_by_label("Kind").select_option("Transaction batch")
    waits_for(page, "#empty h2", "No import matches")
    page.reload()
    waits_for(page, "#empty h2", "No import matches")
    assert page.get_by_role("button", name="Cancelled").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Clear filters").click()
    names.nth(1).wait_for()
    page.get_by_label("From").fill("2100-01-01")
    waits_for(page, "#empty h2", "No import matches")
    page.go_back()
    names.nth(1).wait_for()


def test_older_jobs_are_on_further_pages(open_page: Open, store: JobStore, url: str, key: str) -> None:
    for number in range(23):
        store.create(ORG, KIND, metadata={"fileName": f"{number}.csv"})
    page = open_page(f"{url}/ui/#key={key}")
    rows = page.locator("#jobs li")
    rows.nth(19).wait_for()
    assert rows.count() == 20
    assert not page.get_by_role("button", name="Newest").is_visible()
    page.get_by_role("button", name="Older").click()
    rows.nth(3).wait_for(state="detached")
    assert rows.count() == 3
    assert not page.get_by_role("button", name="Older").is_visible()
    page.get_by_role("button", name="Newest").click()
    rows.nth(19).wait_for()


# Control


def test_a_job_is_paused_resumed_and_cancelled_when_asked_twice(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    with running(store) as (job, _):
        page = open_page(job_page(url, job.job_id, key))
        page.get_by_role("button", name="Pause").click()
        waits_for(page, "#status", "Paused")
        page.get_by_role("button", name="Resume").click()
        waits_for(page, "#status", "Running")
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Keep it running").click()
        assert "batchCancelRequested" not in store.get(ORG, job.job_id).metadata
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel the import").click()
        waits_for(page, "#status", "Cancelling|Cancelled")
        assert not page.locator("#controls").is_visible()


def test_a_key_that_may_not_control_is_offered_nothing(open_page: Open, store: JobStore, url: str) -> None:
    reads, _ = store.api_keys.create(ORG, ["events:create"])
    with running(store) as (job, _):
        page = open_page(job_page(url, job.job_id, reads))
        waits_for(page, "#status", "Running")
        assert not page.locator("#controls").is_visible()


def test_everything_can_be_done_with_the_keyboard(open_page: Open, store: JobStore, url: str, key: str) -> None:
    with running(store) as (job, _):
        page = open_page(f"{url}/ui/")
        page.get_by_label("API key or ticket").wait_for()
        tab_to(page, "#secret")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        page.locator("#jobs a").wait_for()
        tab_to(page, "#jobs a")
        page.keyboard.press("Enter")
        page.locator("#cancel").wait_for()
        tab_to(page, "#cancel")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "ask-no"
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "cancel"
        page.keyboard.press("Enter")
        tab_to(page, "#ask-yes")
        page.keyboard.press("Enter")
        wait_until(lambda: store.get(ORG, job.job_id).status == "cancelled" or _is_cancelling(store, job))


def _is_cancelling(store: JobStore, job: Job) -> bool:
    return "batchCancelRequested" in store.get(ORG, job.job_id).metadata


def tab_to(page: Any, selector: str) -> None:
    """Press TAB until the element has the focus, which must be seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    pytest.fail(f"TAB does not lead to {selector}")


# What jobs say


def test_hostile_texts_are_shown_as_texts(open_page: Open, store: JobStore, url: str, key: str) -> None:
    job = store.create(ORG, KIND, metadata={"fileName": HOSTILE, HOSTILE: {"deep": [HOSTILE]}})
    with suppress(ValueError), store.run(ORG, job.job_id) as run:
        run.failed({"externalId": HOSTILE, "code": "VALIDATION_ERROR", "message": HOSTILE})
        raise ValueError(HOSTILE)
    page = open_page(job_page(url, job.job_id, key))
    waits_for(page, "#status", "Failed")
    assert text(page, "#name") == HOSTILE
    assert text(page, "#headline") == f"The import failed: ValueError: {HOSTILE}"
    page.locator("#failures td.message").wait_for()
    assert text(page, "#failures td.message") == text(page, "#failures td:first-child") == HOSTILE
    assert HOSTILE in page.locator("#metadata dt").all_text_contents()
    page.goto(f"{url}/ui/")
    page.locator("#jobs .name").wait_for()
    assert text(page, "#jobs .name") == HOSTILE
    assert page.locator("main img, main b").count() == 0


def test_ten_thousand_failures_are_counted_by_code_and_downloaded_for_spreadsheets(
    open_page: Open, store: JobStore, url: str, key: str, tmp_path: Path
) -> None:
    job = store.create(ORG, KIND, metadata={"fileName": "Ñandú.csv"})
    with store.run(ORG, job.job_id) as run:
        for number in range(10_000):
            code = "ENTITY_NOT_FOUND" if number % 4 == 3 else "VALIDATION_ERROR"
            run.failed({"externalId": f"T-{number}", "code": code, "message": 'Ñandú, "quoted"\nand broken'})
    page = open_page(job_page(url, job.job_id, key))
    waits_for(page, "#failures-title", r"Failed rows \(10,000\)")
    waits_for(page, "#failures .codes li", "VALIDATION_ERROR7,500")
    waits_for(page, "#failures .codes li", "ENTITY_NOT_FOUND2,500")
    more = page.get_by_role("button", name="Show more rows")
    while more.is_visible():
        more.click()
    assert page.locator("#failures tbody tr").count() == 500
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "Ñandú-failures.csv"
    file = tmp_path / "failures.csv"
    download.value.save_as(file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbfexternal_id,code,error\r\n")
    assert file.read_text("utf-8-sig").count("Ñandú") == 10_000


# Elsewhere


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_pages_work_below_a_prefix_that_nobody_tells_the_service(
    open_page: Open, store: JobStore, key: str, slash: str
) -> None:
    service, prefix = create_app(store).wsgi_app, "/tools/imports"

    def stripping(environ: Any, start: Any) -> Any:
        assert environ["PATH_INFO"].startswith(f"{prefix}/"), environ["PATH_INFO"]
        return service({**environ, "PATH_INFO": environ["PATH_INFO"].removeprefix(prefix)}, start)

    job = store.create(ORG, KIND, metadata={"fileName": "november.csv"})
    with served(stripping) as url:
        page = open_page(f"{url}{prefix}/ui{slash}#key={key}")
        page.locator("#jobs a").click()
        waits_for(page, "#name", r"november\.csv")
        assert page.url == f"{url}{prefix}/ui/jobs/{job.job_id}"
        page.goto(f"{page.url}{slash}")
        waits_for(page, "#name", r"november\.csv")
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel the import").click()
        waits_for(page, "#status", "Cancelled")
        page.get_by_role("link", name="All imports").click()
        waits_for(page, "#jobs .pill", "Cancelled")
        page.context.close()


HTML = """<!doctype html>
<html lang="en">
<title>Our shop</title>
<style>batch-status {{ --batch-status-good: rgb(1, 2, 3); }}</style>
<script type="module" src="{url}/ui/batch-status.js"></script>
<h1>Your upload</h1>
<batch-status job="{job}" ticket="{ticket}"></batch-status>
"""
OTHERS = 7
"""How many elements more stand on a page: more than a browser opens connections."""


def test_the_element_shows_a_job_on_a_page_of_another_origin(open_page: Open, store: JobStore) -> None:
    shop: list[bytes] = []

    def shows(_: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return shop

    with served(shows) as origin, served(create_app(store, cors_origins=[origin]).wsgi_app) as url:
        with running(store, total=4) as (job, run):
            ticket, record = store.tickets.create(ORG, job_id=job.job_id)
            shop.append(HTML.format(url=url, job=job.job_id, ticket=ticket).encode())
            page = open_page(origin)
            bar = page.get_by_role("progressbar")
            bar.wait_for()
            run.succeeded(3)
            waits_for(page, "batch-status .percent", "75 %")
            assert bar.get_attribute("aria-valuenow") == "75"
            assert page.evaluate(FILL) == "rgb(1, 2, 3)"
            page.evaluate(REFUSED)
            other, _ = store.tickets.create(ORG, job_id=job.job_id)
            store.tickets.revoke(record.id)
            page.wait_for_function("window.refused?.status === 401")
            page.evaluate(RENEW, other)
            run.succeeded()
            waits_for(page, "batch-status .percent", "100 %")
        waits_for(page, "batch-status .note", "The worker died after 4 of 4 rows.*")
        page.context.close()


def test_more_elements_than_a_browser_opens_connections_are_all_live(
    open_page: Open, store: JobStore, url: str, key: str
) -> None:
    jobs = [store.create(ORG, KIND, metadata={"fileName": f"{number}.csv"}) for number in range(OTHERS)]
    with running(store, total=4) as (job, run):
        elements = [f'<batch-status job="{each.job_id}" ticket="{key}"></batch-status>' for each in (*jobs, job)]
        script = '<script type="module" src="/ui/batch-status.js"></script>'
        page = open_page("about:blank")
        page.route(
            f"{url}/shop", lambda route: route.fulfill(content_type="text/html", body=script + "".join(elements))
        )
        page.goto(f"{url}/shop")
        for number in range(OTHERS):
            waits_for(page, "batch-status .name", rf"{number}\.csv")
        run.succeeded(3)
        waits_for(page, "batch-status .percent", "75 %")
        store.control(ORG, jobs[0].job_id, "cancel")
        waits_for(page, "batch-status .note", "Cancelled before it began.")
