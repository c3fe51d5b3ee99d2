"""A kind of one's own from the upload file to the CSV of failures, through service, importer and commands."""

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

import batchstatus
from batchstatus import Job
from batchstatus.client import Client
from batchstatus.embedded import EmbeddedServer
from tests.support.commands import Result, Run, fresh_environment, runner
from tests.support.own_kinds import CSV, EXAMPLES, FAILURES, KINDS_FILE, USER
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService

PATHS = (FAILURES, CSV)
SAMPLE = EXAMPLES / "samples" / "products.csv"


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    """The service with the kinds of the examples, on a Valkey of its own."""
    with (
        EmbeddedServer() as server,
        LiveService(server.url, BATCHSTATUS_KINDS=str(KINDS_FILE)) as service,
    ):
        service.store_url = server.url  # type: ignore[attr-defined]
        yield service


@pytest.fixture
def run(service: LiveService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands with the environment that docs/kinds.md gives them."""
    fresh_environment(monkeypatch)
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", service.store_url)  # type: ignore[attr-defined]
    monkeypatch.setenv("BATCHSTATUS_KINDS", str(KINDS_FILE))
    monkeypatch.setenv("BATCHSTATUS_URL", service.url)
    return runner(capsys)


@pytest.fixture
def key(run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that may import products, which the commands use too."""
    made: str = run("keys", "create", "--org", USER, "--permission", "products:import").out.strip()
    monkeypatch.setenv("BATCHSTATUS_API_KEY", made)
    return made


def imported(file: Path, directory: Path, job_id: str) -> tuple[Job, subprocess.CompletedProcess[str]]:
    """Create a job and import a file with the example's importer. Returns the job at its end, and the run."""
    url = os.environ["BATCHSTATUS_REDIS_URL"]
    with closing(batchstatus.connect(url, **UNHURRIED)) as store:  # the kinds come from the environment
        store.create(USER, "product_import", job_id=job_id, metadata={"fileName": file.name})
        command = [sys.executable, str(EXAMPLES / "import_products.py"), str(file), "--org", USER, "--job", job_id]
        database = ["--database", str(directory / "products.sqlite")]
        done = subprocess.run([*command, *database], capture_output=True, text=True, check=False)
        return store.get(USER, job_id), done


def test_an_upload_file_becomes_rows_in_the_database_and_a_csv_of_failures(
    service: LiveService, run: Run, key: str, tmp_path: Path
) -> None:
    job, said = imported(SAMPLE, tmp_path, "products-1")
    assert (said.returncode, said.stderr, job.status, job.total_items) == (0, "", "completed", 1_000)
    with closing(sqlite3.connect(tmp_path / "products.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM products").fetchone() == (job.succeeded,)
    assert 0 < job.failed == 1_000 - job.succeeded
    with Client(service.url, key) as client:
        file = io.BytesIO()
        client.failures_csv("products-1", file)
        assert client.failures("products-1")["failuresTotal"] == job.failed
        assert (client.get("products-1").kind, client.get("products-1").succeeded) == (
            "product_import",
            job.succeeded,
        )
        by_path = io.BytesIO()
        client.failures_csv("products-1", by_path, path="product-jobs")
    assert by_path.getvalue() == file.getvalue()
    header, *rows = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    assert (header, len(rows)) == (["sku", "code", "error"], job.failed)
    assert {row[1] for row in rows} == {"VALIDATION_ERROR", "DUPLICATE_SKU"}
    assert any(row[0].startswith("'=") for row in rows)
    headers = {"Authorization": f"Bearer {key}"}
    answers = [
        requests.get(service.url + path.format("products-1"), headers=headers, timeout=10) for path in PATHS
    ]
    assert answers[0].json()["failures"][0].keys() == {"sku", "outcome", "code", "message"}
    assert answers[1].content == file.getvalue()

    again, _ = imported(SAMPLE, tmp_path, "products-2")  # whose products are all known by now
    twice = sum(row[1] == "DUPLICATE_SKU" for row in rows)
    assert (again.succeeded, again.skipped, again.failed) == (0, job.succeeded + twice, job.failed - twice)


def test_every_command_knows_the_kind(service: LiveService, run: Run, key: str) -> None:
    with closing(batchstatus.connect(service.store_url, kinds=KINDS_FILE, **UNHURRIED)) as store:  # type: ignore[attr-defined]
        for job_id in ("queued", "done"):
            store.create(USER, "product_import", job_id=job_id)
        with store.run(USER, "done") as at_work:
            at_work.failed({"sku": "A-7", "code": "VALIDATION_ERROR", "message": "no price"})

    def succeeds(*command: str) -> Result:
        result = run(*command)
        assert (result.code, result.err) == (0, ""), command
        return result

    assert json.loads(succeeds("status", "done", "--json").out)["kind"] == "product_import"
    assert "completed" in succeeds("watch", "done").out
    assert "A-7" in succeeds("failures", "done").out
    assert succeeds("failures", "done", "--csv", "-").out.splitlines()[1] == "A-7,VALIDATION_ERROR,no price"
    assert "cancelled" in succeeds("control", "queued", "cancel").out
    listed = json.loads(succeeds("history", "--kind", "product_import", "--json").out)["jobs"]
    assert {"queued", "done"} <= {each["jobId"] for each in listed}
    assert "settled 0 jobs" in succeeds("reap", "--once", "--grace-s", "0").out
    refused = run("history", "--kind", "entity_automatic")
    assert (refused.code, "known: product_import" in refused.err) == (2, True)
    record = json.loads(succeeds("keys", "list", "--org", USER, "--json").out)[-1]
    assert succeeds("keys", "revoke", record["id"]).out == f"revoked {record['id']}\n"


def test_a_key_that_cannot_read_says_which_permission_would(run: Run) -> None:
    result = run("keys", "create", "--org", USER, "--permission", "events:create")
    assert "It cannot read jobs: reading needs one of products:import." in result.err
