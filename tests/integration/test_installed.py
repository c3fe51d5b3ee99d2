"""What `pip install` gives: a worker's SDK and no more; the service and the command line with `[server]`."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.installed import PYTHONS, ROOT, Installed, answer, python_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Install: TypeAlias = Callable[..., Installed]

ORG = "org_acme"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
WORK = """
import sys, batchstatus
store = batchstatus.connect(sys.argv[1], timeout_s=30)
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
TYPED = """
import batchstatus
from batchstatus.schemas import JobSchema
from batchstatus.web import create_app
from flask import Flask

store = batchstatus.connect("redis://127.0.0.1:6379/0")
app: Flask = create_app(store)
schema: JobSchema = JobSchema()
job: batchstatus.Job = store.create("org_acme", "transaction_batch")
with store.run("org_acme", job.job_id) as run:
    run.succeeded(2)
    run.succeeded("two")
"""


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Returns a function that installs the wheel with an extra for a Python, once each."""

    @cache
    def made(extra: str = "", version: str = OWN) -> Installed:
        python = sys.executable if version == OWN else python_of(version)
        if python is None:
            pytest.skip(f"this machine has no Python {version}")
        return Installed(tmp_path_factory.mktemp("installed") / "venv", f"{wheel}{extra}", python=python)

    return made


@pytest.fixture
def base(install: Install) -> Installed:
    """A base install: what a worker needs."""
    return install()


@pytest.fixture
def server(install: Install) -> Installed:
    """An install with the extra `[server]`."""
    return install("[server]")


@pytest.fixture(params=PYTHONS)
def each_base(request: pytest.FixtureRequest, install: Install) -> Installed:
    """A base install on each Python."""
    return install("", request.param)


@pytest.fixture(params=PYTHONS)
def each_server(request: pytest.FixtureRequest, install: Install) -> Installed:
    """An install with the extra `[server]` on each Python."""
    return install("[server]", request.param)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The folder of an application that has a package `schemas` of its own."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "__init__.py").write_text('OWNER = "the host"\n')
    return tmp_path


# A base install


def test_a_base_install_brings_redis_and_hiredis_and_nothing_else(each_base):
    names = {each["name"] for each in json.loads(each_base.pip("list", "--format", "json"))}
    version = each_base.run("python", "-c", "import sys; print(sys.version_info[:3] < (3, 11, 3))").stdout
    if version == "True\n":
        names -= {"async-timeout"}  # redis-py's own, for what asyncio had not yet
    assert names == {"batchstatus", "redis", "hiredis"}


def test_a_base_install_runs_a_job_on_a_real_store(each_base, redis_url):
    ran = each_base.run("python", "-c", WORK, redis_url)
    assert ran.stderr == ""
    status, succeeded, failed, place = ran.stdout.split()
    assert (status, succeeded, failed) == ("completed", "2", "T-7")
    assert Path(place).is_relative_to(each_base.folder)


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


def test_the_installed_service_answers_a_poll(each_server, redis_url, real_store):
    created = each_server.run(
        *("batchstatus", "keys", "create", "--org", ORG, "--permission", "transactions:create"),
        BATCHSTATUS_REDIS_URL=redis_url,
    )
    job_id = real_store.create(ORG, "transaction_batch", metadata={"fileName": "november.csv"}).job_id
    with each_server.serving(redis_url) as url:
        body = answer(f"{url}/batch-import/jobs/{job_id}", created.stdout.strip())
        shown = each_server.run(
            "batchstatus", "status", job_id, BATCHSTATUS_URL=url, BATCHSTATUS_API_KEY=created.stdout.strip()
        )
    assert (body["job"]["status"], body["job"]["metadata"]) == ("queued", {"fileName": "november.csv"})
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"{job_id}: queued" in shown.stdout


def test_a_host_with_a_package_schemas_of_its_own_can_import_the_web_side(server, host):
    ran = server.run("python", "-c", "import schemas, batchstatus.web; print(schemas.OWNER)", cwd=host)
    assert (ran.stdout, ran.stderr) == ("the host\n", "")


def test_the_service_starts_in_a_folder_that_has_a_package_schemas(server, host, redis_url):
    with server.serving(redis_url, cwd=host) as url:
        assert answer(f"{url}/openapi.json")["openapi"].startswith("3.1")


def test_what_the_image_installs_is_complete_and_answers(wheel, tmp_path, redis_url):
    image = Installed(tmp_path / "venv", "--requirement", str(ROOT / "requirements" / "server.txt"))
    image.pip("install", "--quiet", "--no-deps", str(wheel))
    assert image.pip("check").strip() == "No broken requirements found."
    with image.serving(redis_url) as url:
        assert answer(f"{url}/livez")


def test_the_types_of_an_installed_wheel_are_checked_in_the_code_that_uses_it(server, tmp_path):
    (tmp_path / "host.py").write_text(TYPED)
    strict = ("--strict", "--config-file=", "--no-error-summary", "--python-executable", *server.command("python"))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *strict, "host.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    wrong_line = TYPED.splitlines().index('    run.succeeded("two")') + 1
    assert re.fullmatch(rf"host\.py:{wrong_line}: error: Argument 1 to \"succeeded\" .*\n", checked.stdout)
    assert checked.stderr == ""


def test_a_demo_without_a_store_to_run_says_what_to_install(server):
    ended = server.run("batchstatus", "demo", PATH="")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert re.fullmatch(r"batchstatus: no Valkey or Redis server here; .*'batchstatus\[demo\]'\n", ended.stderr)


def test_the_installed_demo_makes_its_samples_and_imports_a_file(install):
    demo = install("[demo]")
    file = demo.folder / "own.csv"
    sample = (ROOT / "examples" / "samples" / "user_events.csv").read_text().splitlines(keepends=True)
    file.write_text("".join(sample[:20]))
    ended = demo.run("batchstatus", "demo", "--file", str(file), "--kind", "user_event_batch", "--rate", "0")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert '"status": "completed"' in ended.stdout
