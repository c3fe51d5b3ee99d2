"""Clients that are generated from the OpenAPI document, and the services that they are tried on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import flask
import pytest
import requests

from batchstatus import JobStore
from batchstatus.model.kinds import PUBLISHED
from batchstatus.web import blueprint
from batchstatus.web.views.openapi import document
from tests.conftest import ORG
from tests.support.service import LiveService
from tests.support.serving import served

HERE = Path(__file__).parent
MAY = ["transactions:create", "entities:bulk_import", "jobs:run"]
Program = Callable[..., Any]


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a command to its end. Returns its output; fails with all that it has said."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document, in a file."""
    file = tmp_path_factory.mktemp("description") / "openapi.json"
    file.write_text(json.dumps(document(PUBLISHED)))
    return file


@pytest.fixture(scope="session")
def python_client(description: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the Python client, the package `generated`."""
    pytest.importorskip("openapi_python_client", reason="needs the dependency group clients")
    folder = tmp_path_factory.mktemp("python")
    target, settings = folder / "generated", folder / "settings.yml"
    settings.write_text("post_hooks: []")  # it would format what it has made
    options = ["--meta", "none", "--fail-on-warning", "--config", settings]
    said = run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", description),
        *("--output-path", target, *options),
        cwd=folder,
    )
    assert "warning" not in said.lower()
    (target / "py.typed").touch()
    return folder


@pytest.fixture(scope="session")
def typescript_client(description: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the TypeScript client and its program, compiled."""
    folder = tmp_path_factory.mktemp("typescript")
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    if not (shutil.which("npm") and shutil.which("node")):
        missing("there is no npm; Debian has it: apt-get install npm")
    for file in (HERE / "typescript").iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(["npm", "ci", *quietly], cwd=folder, capture_output=True, text=True, timeout=300)
    if installed.returncode:
        missing(f"npm installs nothing: {installed.stderr.strip()[-300:]}")
    tools = folder / "node_modules" / ".bin"
    run(tools / "openapi-typescript", description, "--output", "schema.d.ts", cwd=folder)
    run(tools / "tsc", "--project", ".", cwd=folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def key(real_store: JobStore) -> str:
    """A key that may all that the programs do."""
    made, _ = real_store.api_keys.create(ORG, MAY)
    return made


@pytest.fixture(params=["the service", "a blueprint below a prefix"])
def base_url(request: pytest.FixtureRequest, live: LiveService, real_store: JobStore) -> Iterator[str]:
    """Where the document that is served says that its paths are."""
    if request.param == "the service":
        yield described_base(live.url)
        return
    host = flask.Flask("host")
    host.register_blueprint(blueprint(real_store), url_prefix="/imports")
    with served(host.wsgi_app) as url:
        base = described_base(f"{url}/imports")
        assert base == f"{url}/imports"
        yield base


def described_base(url: str) -> str:
    """Returns what the paths of the document at this URL are relative to, as a tool would."""
    answer = requests.get(f"{url}/openapi.json", timeout=10)
    (server,) = answer.json().get("servers", [{"url": "/"}])
    return urljoin(answer.url, server["url"]).rstrip("/")
