"""`protocol.json` says what the code does: the file, its vectors, and what it names."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from batchstatus.model import values
from batchstatus.model.kinds import PUBLISHED
from batchstatus.model.messages import Content
from tests.support import protocol_json

ROOT = Path(__file__).parents[3]
PROTOCOL: Any = json.loads(files("batchstatus.protocol").joinpath("protocol.json").read_text())


def test_the_file_is_as_the_code_is() -> None:
    written = protocol_json.FILE.read_text()
    assert written == protocol_json.text(), "write it anew: python -m tests.support.protocol_json"


@pytest.mark.parametrize("vector", PROTOCOL["digests"], ids=lambda vector: vector["digest"][:8])
def test_a_digest_is_that_of_the_bytes_written(vector: dict[str, Any]) -> None:
    assert vector["digest"] == hashlib.sha256(vector["written"].encode("ascii")).hexdigest()[:32]


@pytest.mark.parametrize("vector", PROTOCOL["digests"], ids=lambda vector: vector["digest"][:8])
def test_a_digest_is_the_one_that_create_sends(vector: dict[str, Any]) -> None:
    metadata, window_s = json.loads(vector["metadata"]), vector["takeoverMs"] / 1000
    given = Content.checked(PUBLISHED, vector["kind"], vector["totalItems"], metadata, window_s)
    assert given.digest == vector["digest"]


def test_a_member_is_in_the_bucket_of_its_checksum() -> None:
    assert len({vector["bucket"] for vector in PROTOCOL["buckets"]["vectors"]}) > 1
    for vector in PROTOCOL["buckets"]["vectors"]:
        assert vector["bucket"] == zlib.crc32(vector["member"].encode()) % PROTOCOL["buckets"]["many"]


def test_every_answer_of_every_script_has_a_meaning_or_no_need_of_one() -> None:
    plain = {
        word
        for script in PROTOCOL["scripts"].values()
        for word, each in script["answers"].items()
        if not each["meaning"]
    }
    assert plain <= {"OK", "NOT_FOUND"}


def test_the_limits_are_the_ones_that_hold() -> None:
    limits = PROTOCOL["limits"]
    assert values.text("x" * 2_000) == "x" * limits["textCharacters"]
    for check, most in ((values.metadata, limits["jsonBytes"]), (values.checkpoint, limits["checkpointBytes"])):
        fits = {"k": "x" * (most - len('{"k":""}'))}
        assert len(check(fits)) == most
        with pytest.raises(values.InvalidValue):
            check({"k": fits["k"] + "x"})


@pytest.mark.skipif(shutil.which("node") is None and "CI" not in os.environ, reason="node is missing")
def test_javascript_makes_the_same_digests_of_what_it_can_tell_apart() -> None:
    vectors = [
        each for each in PROTOCOL["digests"] if not re.search(r"[.e]\d|\d{17}|9007199254740993", each["metadata"])
    ]
    assert len(vectors) >= 7
    script = """
        import { digest } from './examples/redis-worker/digest.mjs'
        const made = JSON.parse(process.argv[1]).map((each) =>
          digest(each.kind, each.totalItems, JSON.parse(each.metadata), each.takeoverMs))
        console.log(JSON.stringify(made))
    """
    command = ["node", "--input-type=module", "--eval", script, "--", json.dumps(vectors)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(run.stdout) == [each["digest"] for each in vectors]
