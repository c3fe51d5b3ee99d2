"""Under gevent, as in our service's processes, sending to endpoints keeps all that it does with threads."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent", reason="gevent is not installed")

ROOT = Path(__file__).parents[2]

# gunicorn imports the service before its worker patches the standard library.
PROGRAM = """
import sys, warnings
import batchstatus.webhooks.sending

warnings.simplefilter("ignore")
from gevent import monkey
monkey.patch_all()

import pytest
sys.exit(pytest.main(["tests/unit/webhooks", "-p", "no:cacheprovider", "--basetemp", sys.argv[1]]))
"""


@pytest.mark.slow
def test_all_tests_of_sending_pass_under_gevent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "inside")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
