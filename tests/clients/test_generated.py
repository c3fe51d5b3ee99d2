"""Clients that tools generate from the OpenAPI document compile strictly, and do a whole import over HTTP."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import HERE, run

pytestmark = pytest.mark.slow  # it installs packages and runs compilers

SEEN: dict[str, Any] = {
    "made": [202, "queued", "november.csv"],
    "run": ["run", {"line": 3}, "pause"],
    "flags": [[False, False, False, False], [True, False, False, False]],
    "ended": ["completed", 2, 1, 3],
    "polled": ["completed", None, []],
    "again": 304,
    "split": ["queued", [2, 1]],
    "parts": [[1, "queued", None, 0], [2, "running", 2, 2]],
    "events": ["event: job"],
    "failures": [["T-7", "VALIDATION_ERROR", "no amount"]],
    "csv": "external_id,code,error\r\nT-7,VALIDATION_ERROR,no amount\r\n",
    "both": ["entity_automatic", "transaction_batch"],
    "pages": [1, 1, None],
    "byId": [["november-1"], ["none"], True],
    "ticket": "november-1",
    "errors": [
        [409, "KIND_MISMATCH"],
        [409, "JOB_NOT_SPLITTABLE"],
        [403, "FORBIDDEN"],
        [404, "JOB_NOT_FOUND"],
        [400, "INVALID_REQUEST"],
    ],
    "details": {"limit": "not a number from 1 to 100"},
}
"""What a program prints."""


def test_a_python_client_does_a_whole_import(python_client: Path, base_url: str, key: str) -> None:
    (python_client / "program.py").write_text((HERE / "program.py").read_text())
    said = run(sys.executable, "program.py", base_url, key, "november-1", cwd=python_client)
    assert json.loads(said) == SEEN


def test_a_typescript_client_does_a_whole_import(typescript_client: Path, base_url: str, key: str) -> None:
    said = run("node", "made/program.js", base_url, key, "november-1", cwd=typescript_client)
    assert json.loads(said) == SEEN


def test_a_python_client_and_its_program_pass_mypy_strictly(python_client: Path) -> None:
    pytest.importorskip("mypy", reason="needs the dependency group dev")
    (python_client / "program.py").write_text((HERE / "program.py").read_text())
    cache = python_client / "cache"
    run(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "program.py"),
        cwd=python_client,
    )


def test_errors_are_one_type_and_not_one_an_operation(python_client: Path) -> None:
    models = {path.stem for path in (python_client / "generated" / "models").glob("*.py")}
    assert {"error_response", "error_detail", "job_status", "job_kind", "job_metadata"} <= models
    assert [name for name in models if "response_4" in name or "response_5" in name] == []


WRONG = {
    "a text for a number": ("succeeded: 2,", 'succeeded: "2",'),
    "an action that is none": ('action: "pause"', 'action: "stop"'),
    "a status that is none": ('["completed", "queued"]', '["complete"]'),
    "a flag as a number": ("metadata.batchPaused ??", "metadata.batchPaused > 3 ??"),
    "a member that is none": ("polled.job.status", "polled.job.state"),
}


def test_typescript_programs_that_are_wrong_do_not_compile(typescript_client: Path) -> None:
    program = (HERE / "typescript" / "program.ts").read_text()
    names = {about: f"wrong-{number}.ts" for number, about in enumerate(WRONG)}
    for about, (right, wrong) in WRONG.items():
        assert right in program
        (typescript_client / names[about]).write_text(program.replace(right, wrong))
    settings = json.loads((typescript_client / "tsconfig.json").read_text())
    settings["files"] = ["program.ts", "schema.d.ts", *names.values()]
    (typescript_client / "wrong.json").write_text(json.dumps(settings))
    tsc = typescript_client / "node_modules" / ".bin" / "tsc"
    command = [tsc, "--noEmit", "--pretty", "false", "--project", "wrong.json"]
    done = subprocess.run(command, cwd=typescript_client, capture_output=True, text=True, timeout=300)
    assert {line.partition("(")[0] for line in done.stdout.splitlines() if "): error" in line} == {*names.values()}
