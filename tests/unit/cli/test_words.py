"""What the command line says of a job, and what it lets reach a terminal."""

import json
from datetime import timedelta

import pytest

from batchstatus import Job, JobFailure, Status
from batchstatus.cli.terminal.words import (
    clean,
    describe,
    duration,
    name_of,
    outcome,
    pace,
    short,
    silence,
    standing,
    state,
    time_left,
    to_json,
)
from batchstatus.model.job import CONTROL_FLAGS
from batchstatus.model.progress import Progress
from tests.unit.cli.jobs import JOB_ID, NOW, STATES, ended, job

HOSTILE = {
    "an escape sequence": ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
    "an 8-bit control": ("a\x9b2Jb", "a\ufffd2Jb"),
    "bell and backspace": ("a\x07\x08b", "a\ufffd\ufffdb"),
    "line ends": ("a\r\nb\u2028c\x85d", "a b c d"),
    "a change of direction": ("\u202egnp.exe", "gnp.exe"),
    "a lone surrogate": ("a\ud800b", "a\ufffdb"),
    "a character of private use": ("a\ue000b", "a\ufffdb"),
    "joined emoji": ("\U0001f469\u200d\U0001f467\u2764\ufe0f", "\U0001f469\U0001f467\u2764"),
    "nothing but controls": ("\u200b\u200e", ""),
    "plain text in any script": ("año 十一月 ноябрь.csv", "año 十一月 ноябрь.csv"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_no_text_gives_orders_to_a_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(text).isprintable()


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE.values()], ids=HOSTILE)
def test_json_says_the_same_and_gives_no_orders_either(text: str) -> None:
    line = to_json({text: [text]})
    assert json.loads(line) == {text: [text]}
    assert line.encode()  # a terminal in UTF-8 can print it
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    assert to_json({"fileName": "año"}) == '{"fileName": "año"}'


@pytest.mark.parametrize(("of", "word"), STATES.values(), ids=STATES)
def test_no_state_is_told_as_a_flag(of: Job, word: str) -> None:
    line = describe(of, NOW)
    assert word in line
    assert not any(flag in line for flag in CONTROL_FLAGS)
    assert state(of) == of.status or of.flags


def test_a_job_is_called_by_its_file_else_by_the_end_of_its_id() -> None:
    assert name_of(job("november.csv")) == "november.csv"
    assert name_of(job(None)) == name_of(job("\u200b")) == "…78bf67c83db2"
    assert short("november-1") == "november-1"
    assert name_of(job(metadata={"fileName": ["no", "text"]})) == short(JOB_ID)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Progress(), ""),
        (Progress(NOW, 1_234.5), "1,234 rows/s"),
        (Progress(NOW, 0.42), "0.4 rows/s"),
        (Progress(NOW, 0.0), "0 rows/s"),
        (Progress(NOW, 100.0, 300.0, 170.0, 840.0), "100 rows/s, 5 min left (3 min to 14 min)"),
    ],
)
def test_a_pace_is_told_as_far_as_it_is_known(found: Progress, said: str) -> None:
    assert pace(job(pace=found)) == said
    assert time_left(job(pace=found), interval=False) in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    {0: "0 s", 89: "89 s", 90: "2 min", 5_399: "90 min", 5_400: "2 h", 129_599: "36 h", 259_200: "3 d"}.items(),
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_only_a_worker_that_should_send_heartbeats_is_called_silent() -> None:
    long_ago = {"heartbeat_at": NOW - timedelta(minutes=5)}
    assert silence(job(**long_ago), NOW) == "last heartbeat 5 min ago"
    assert silence(job("november.csv", "batchPaused", **long_ago), NOW) == "last heartbeat 5 min ago"
    assert silence(job(), NOW + timedelta(seconds=10)) == ""
    assert silence(job("november.csv", "batchAwaitingWorker", **long_ago), NOW) == ""
    assert silence(ended(Status.COMPLETED, **long_ago), NOW) == ""
    assert silence(job(heartbeat_at=None), NOW) == ""


def test_the_pace_of_a_silent_worker_is_not_told() -> None:
    line = describe(job(), NOW + timedelta(seconds=20))
    assert line.endswith("0 skipped, last heartbeat 20 s ago")
    assert describe(job()).endswith("0 skipped, 97 rows/s, 6 s left (4 s to 11 s)")


SEE = f"See: batchstatus failures {JOB_ID}"
OUTCOMES = [
    (ended(Status.COMPLETED, succeeded=1_000, failed=0), "completed: 1,000 succeeded."),
    (ended(Status.COMPLETED, succeeded=980, failed=20), f"completed: 980 succeeded, 20 failed. {SEE}"),
    (ended(Status.COMPLETED, succeeded=0, failed=0, total_items=0), "completed: no rows."),
    (
        ended(Status.FAILED, job_failure=JobFailure("BAD", "no\x1b[A header.")),
        f"failed after 412 of 1,000 rows: BAD: no\ufffd[A header. {SEE}",
    ),
    (ended(Status.FAILED, succeeded=0, failed=0), "failed before its first row."),
    (ended(Status.CANCELLED, failed=0), "cancelled after 409 of 1,000 rows."),
    (
        ended(Status.INTERRUPTED, failed=0),
        "interrupted after 409 of 1,000 rows: its worker is gone, and none took over.",
    ),
]


@pytest.mark.parametrize(("of", "said"), OUTCOMES, ids=[of.status for of, _ in OUTCOMES])
def test_an_outcome_is_one_line_with_what_to_do_next(of: Job, said: str) -> None:
    assert outcome(of) == f"november.csv {said}"


def test_whoever_stops_watching_is_told_how_the_job_stands_and_how_to_come_back() -> None:
    again = f"Go on: batchstatus watch {JOB_ID}"
    assert standing(job(), NOW) == f"november.csv: running, 412 of 1,000 rows, 3 failed. {again}"
    silent = standing(job(), NOW + timedelta(seconds=20))
    assert silent == f"november.csv: running, 412 of 1,000 rows, last heartbeat 20 s ago. {again}"
