"""The shell script of docs/http.md runs a job with nothing but curl."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from batchstatus import JobStore
from tests.conftest import ORG
from tests.support.service import LiveService

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
(SCRIPT,) = re.findall(r"^```sh\n(set -eu\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")


def run_script(live: LiveService, store: JobStore, file: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with a key that may create and run the job `november`."""
    key, _ = store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    given = {"URL": live.url, "KEY": key, "JOB": "november", "FILE": str(file)}
    return subprocess.run(
        ["sh", "-c", SCRIPT], env={**os.environ, **given}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 250 rows, 25 of which have no amount."""
    made = tmp_path / "november.csv"
    made.write_text("".join(f"T-{number},{'' if number % 10 == 7 else number}\n" for number in range(250)))
    return made


def test_the_shell_script_runs_a_job_from_create_to_finish(
    live: LiveService, real_store: JobStore, file: Path
) -> None:
    ended = run_script(live, real_store, file)
    assert ended.returncode == 0, ended.stderr
    assert '"status":"completed"' in ended.stdout
    outcome = real_store.outcome(ORG, "november")
    assert (outcome.job.total_items, outcome.job.succeeded, outcome.failures_total) == (250, 225, 25)
    assert [row["externalId"] for row in outcome.failures] == [f"T-{number}" for number in range(7, 250, 10)]


def test_the_shell_script_goes_on_at_the_checkpoint_of_the_one_before(
    live: LiveService, real_store: JobStore, file: Path
) -> None:
    content = {"job_id": "november", "total_items": 250, "takeover_s": 3600}
    real_store.create(ORG, "transaction_batch", **content)  # type: ignore[arg-type]
    try:
        with real_store.run(ORG, "november") as run:
            run.succeeded(90, checkpoint=100)
            raise SystemExit
    except SystemExit:
        pass
    assert run_script(live, real_store, file).returncode == 0
    job = real_store.get(ORG, "november")
    assert (job.status, job.succeeded, job.failed) == ("completed", 90 + 135, 15)


def test_the_shell_script_stops_on_a_cancel(live: LiveService, real_store: JobStore, file: Path) -> None:
    content = {"job_id": "november", "total_items": 250, "takeover_s": 3600}
    real_store.create(ORG, "transaction_batch", **content)  # type: ignore[arg-type]
    claims = SCRIPT.replace('[ "$line" != null ]', 'CANCEL; [ "$line" != null ]')
    assert claims != SCRIPT
    key, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    cancel = 'call "/$JOB/control" \'{"kind":"transaction_batch","action":"cancel"}\' >&2'
    given = {"URL": live.url, "KEY": key, "JOB": "november", "FILE": str(file)}
    ended = subprocess.run(
        ["sh", "-c", claims.replace("CANCEL", cancel)],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert '"status":"cancelled"' in ended.stdout, ended.stderr
    assert real_store.get(ORG, "november").done == 100
