"""The worked example of docs/redis-protocol.md works as it says, command by command."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from batchstatus import JobStore
from batchstatus.embedded import EmbeddedServer
from tests.support import redis_cli

ROOT = Path(__file__).parents[2]
ANSWER = re.compile(r"^# -> ", re.MULTILINE)


def example() -> str:
    """The script under the heading."""
    _, _, text = (ROOT / "docs" / "redis-protocol.md").read_text().partition("\n## A worked example\n")
    found = re.search(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def shell(redis_url: str, valkey: EmbeddedServer, tmp_path: Path) -> dict[str, str]:
    """An environment whose `redis-cli` asks the real Valkey."""
    command = tmp_path / "redis-cli"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {redis_cli.__file__} "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "STORE_PORT": str(valkey.port)}


def run(script: str, shell: dict[str, str]) -> list[str]:
    """The lines that a script prints; it must neither fail nor complain."""
    ended = subprocess.run(["sh", "-eu"], input=script, cwd=ROOT, env=shell, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_every_command_answers_what_the_example_says(shell: dict[str, str], redis_client: "redis.Redis") -> None:
    script = example()
    said = [line for line in script.splitlines() if ANSWER.match(line)]
    assert len(said) > 25
    # Each answer is printed where it is said, behind what was answered.
    printed = run(re.sub(r"^(# -> .*)$", lambda found: f"echo {shlex.quote(found[1])}", script, flags=re.M), shell)
    assert printed == [line for answer in said for line in (answer.removeprefix("# -> "), answer)]
    assert redis_client.keys() == []


def test_the_example_makes_the_job_that_python_makes(shell: dict[str, str], real_store: JobStore) -> None:
    until_it_is_made, _, _ = example().partition("# -> CREATED\n")
    run(until_it_is_made, shell)
    made = real_store.get("org_acme", "worked-example")
    again = {"total_items": 3, "takeover_s": 60, "job_id": "worked-example"}
    assert real_store.create("org_acme", "transaction_batch", **again) == made
    assert real_store.list("org_acme").jobs == (made,)


def test_the_example_and_python_mean_the_same_by_every_key(
    shell: dict[str, str], real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    until_it_is_claimed, _, _ = example().partition("# -> OK fence 1 seq 0\n")
    run(until_it_is_claimed, shell)
    theirs = set(redis_client.keys())
    assert real_store.list("org_acme", statuses=["running"]).jobs
    redis_client.flushall()
    job = real_store.create("org_acme", "transaction_batch", job_id="worked-example")
    with real_store.run("org_acme", job.job_id) as entered:
        entered.total(3)
        # As in the example the entry of `queued` is still to be tidied.
        assert set(redis_client.keys()) == theirs - {b"batchstatus:index:{org_acme}:transaction_batch:queued"}
