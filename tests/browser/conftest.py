"""A real Chromium, a service on a store of its own, and pages that complain about whatever goes wrong in them."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from batchstatus import JobStore
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import StoreSettings
from tests.support.sdk import plain_client
from tests.support.service import LiveService
from tests.support.wire import ORG

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NEVER_S = 3_600
"""The grace of the service: a worker that looks dead stays so for as long as a test looks."""

EXPECTED = "Failed to load resource"
"""What Chromium writes to the console for each answer from 400 up. What a policy blocks is written there too."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, for one file: as long as Playwright runs, asyncio can run no event loop of its own."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the dependency group browser")
    if CHROMIUM is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("there is no chromium; Debian has it: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service_url() -> Iterator[tuple[LiveService, str]]:
    """A service, and the URL of its store."""
    with (
        EmbeddedServer() as valkey,
        LiveService(valkey.url, BATCHSTATUS_GRACE_S=str(NEVER_S)) as service,
    ):
        yield service, valkey.url


@pytest.fixture
def at(service_url: tuple[LiveService, str]) -> str:
    """The URL of a store that is empty."""
    with plain_client(service_url[1]) as client:
        client.flushall()
    return service_url[1]


@pytest.fixture
def client(at: str) -> Iterator["redis.Redis"]:
    """A plain client of the service's store."""
    with plain_client(at) as plain:
        yield plain


@pytest.fixture
def store(at: str) -> Iterator[JobStore]:
    """The service's store."""
    with closing(JobStore.open(at, StoreSettings(grace_s=NEVER_S, lease_s=NEVER_S))) as opened:
        yield opened


@pytest.fixture
def url(service_url: tuple[LiveService, str], at: str) -> str:
    """The service, over an empty store."""
    return service_url[0].url


@pytest.fixture
def key(store: JobStore) -> str:
    """A key that reads all jobs, and controls transactions."""
    return store.api_keys.create(ORG, ["transactions:create"])[0]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Returns a function that opens an address in a new window; nothing may break or be blocked there."""
    contexts, wrong = [], []

    def opened(address: str, width: int = 1_280, height: int = 900, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, locale="en-GB", **options)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: wrong.append(f"a dialog: {dialog.message}"))
        contexts.append(context)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [each for each in wrong if not each.startswith(EXPECTED)] == []


def assert_fine(page: Any, axe: Any) -> None:
    """Assert that the page fits its window and that axe finds nothing, small and wide, light and dark."""
    for width, scheme in ((320, "light"), (1_280, "dark"), (1_280, "light"), (320, "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        if (width, scheme) in ((320, "light"), (1_280, "dark")):
            found = axe.run(page)
            assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def axe() -> Any:
    """axe-core, which finds barriers."""
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the group browser").Axe()
