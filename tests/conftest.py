"""Fixtures: a store on fakeredis or a real Valkey, the service in the test's process or in its own.

Every test that leaves a job's key without a time to live fails, on whichever store it ran, and so does a run
that leaves anything in the temporary folder.
"""

import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fakeredis
import pytest
import redis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from werkzeug.test import TestResponse
from xdist.scheduler import LoadFileScheduling

from batchstatus import JobStore
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from tests.support.keyleaks import keys_without_ttl
from tests.support.output import Output
from tests.support.sdk import plain_client
from tests.support.service import LiveService

ORG = "org_acme"
SETTINGS = StoreSettings(lease_s=30.0, grace_s=3.0, timeout_s=30.0)
"""With a time limit that no machine exceeds that stands still for a moment. Tests of the limit set their own."""
OF_MULTIPROCESSING = "pymp-"
"""How the folder of multiprocessing's fork server is called, which goes with this process."""


# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start; called by pytest.

    A shell starts a background job with SIGINT ignored, and every process started from there ignores SIGINT too.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with slow tests first, so that none of them is left over at the end; called by pytest."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


class ChaosApart(LoadFileScheduling):
    """Gives out whole files, but the chaos and the conformance run to two workers at most.

    Their tests start dozens of processes each: five of them at once would starve one another on a small machine.
    """

    _crowded: ClassVar = [
        "test_conformance.py",
        *sorted(path.name for path in (Path(__file__).parent / "chaos").glob("test_*.py")),
    ]

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        is_crowded = "/chaos/" in file or file.endswith("integration/test_conformance.py")
        return f"chaos {self._crowded.index(Path(file).name) % 2}" if is_crowded else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ChaosApart | None:
    """Return what gives out tests to the workers; called by pytest-xdist."""
    return ChaosApart(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_runtest_setup() -> None:
    """Forget the output of processes that ended in earlier tests; called by pytest."""
    Output.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure the output of the processes that the test has started or used; called by pytest."""
    report = yield
    if report.failed:
        report.sections += Output.sections()
    return report


@pytest.fixture(scope="session", autouse=True)
def _empty_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary folder for the tests and all that they start. The run fails if anything is left there."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    left = [name for name in os.listdir(folder) if not name.startswith(OF_MULTIPROCESSING)]
    assert left == [], f"left in the temporary folder {folder}"


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedServer]:
    """A real Valkey for the whole session. Use `redis_url`, which empties it first."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_of_live() -> Iterator[EmbeddedServer]:
    """The Valkey of `live`: apart, because the reaper of a service looks at all that it finds."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a real and empty Valkey; that of the service in a test that uses `live`."""
    name = "valkey_of_live" if "live" in request.fixturenames else "valkey"
    valkey: EmbeddedServer = request.getfixturevalue(name)
    with plain_client(valkey.url) as client:
        client.flushall()
        yield valkey.url
        assert keys_without_ttl(client) == []


@pytest.fixture
def redis_client(redis_url: str) -> Iterator["redis.Redis"]:
    """A plain client of the real Valkey, to look at what was written."""
    with plain_client(redis_url) as client:
        yield client


@pytest.fixture
def fake_client() -> Iterator["redis.Redis"]:
    """A plain client of an empty fakeredis."""
    with fakeredis.FakeRedis() as client:
        yield client
        assert keys_without_ttl(client) == []


@pytest.fixture(params=["fakeredis", "valkey"])
def client(request: pytest.FixtureRequest) -> "redis.Redis":
    """A plain client of a store: each test that asks for it runs on fakeredis and on a real Valkey."""
    found: redis.Redis = request.getfixturevalue("fake_client" if request.param == "fakeredis" else "redis_client")
    return found


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    """A store over `client`, so on fakeredis and on a real Valkey."""
    return JobStore(client, SETTINGS)


@pytest.fixture
def real_store(redis_url: str) -> Iterator[JobStore]:
    """A store on the real Valkey, connected as users connect."""
    store = JobStore.open(redis_url, SETTINGS)
    yield store
    store.close()


@pytest.fixture
def api_key(store: JobStore) -> str:
    """A key of ORG that may read."""
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    return key


class WebClient(FlaskClient):
    """Flask's test client, which closes a stream of events right after its head: the stream has no end."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        answer = super().open(*args, **options)
        if answer.mimetype == "text/event-stream":
            answer.close()
            answer.response = []
        return answer


@pytest.fixture
def web(store: JobStore) -> FlaskClient:
    """Flask's test client of the service over `store`; no Authorization header is set."""
    app = create_app(store)
    app.test_client_class = WebClient
    return app.test_client()


@pytest.fixture(scope="session")
def live_service(valkey_of_live: EmbeddedServer) -> Iterator[LiveService]:
    """The service in processes of its own, for the whole session. Use `live`, which empties the store first."""
    with LiveService(valkey_of_live.url) as service:
        yield service


@pytest.fixture
def live(redis_url: str, live_service: LiveService) -> LiveService:
    """The service as `batchstatus serve` runs it, on the real and empty Valkey of `redis_url`."""
    return live_service
