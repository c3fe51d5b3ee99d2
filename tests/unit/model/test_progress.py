"""The estimate of pace and time left, on imports whose true time is known; time passes in the tests' own clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from batchstatus.model.job import Job, Kind, Status
from batchstatus.model.progress import Noted, Progress, estimate

REPORT_MS = 200
ROWS = 20_000
HASTE = 100.0
"""Rows per second of an import that nothing slows down; ROWS take 200 s."""


@dataclass
class Import:
    """An import whose worker reports every REPORT_MS, and what the store has noted of it.

    `pace` says how many rows a second it does at a time; None while it is paused.
    """

    pace: Callable[[float], float | None]
    done: float = 0.0
    commit: int = 1

    def looks(self) -> list[tuple[float, int, Noted, int, bool]]:
        """Returns after each report the time at work (s), rows, the note, the heartbeat, and True while paused."""
        at_ms, counted, worked_s, found = 1_764_000_000_000, int(self.done), 0.0, []
        marks = [(at_ms, counted)] * 3
        due_ms, claimed_ms, was_paused = at_ms, at_ms, False
        while counted < ROWS:
            at_ms += REPORT_MS
            pace = self.pace((at_ms - claimed_ms) / 1000)
            if pace is not None:
                if was_paused:  # control.lua, on resuming
                    due_ms, marks = at_ms - REPORT_MS, [(at_ms - REPORT_MS, counted)] * 3
                worked_s += REPORT_MS / 1000
                self.done = min(ROWS, self.done + pace * REPORT_MS / 1000)
                rows = ROWS if self.done == ROWS else int(self.done) // self.commit * self.commit
                if rows > counted and at_ms >= due_ms:  # report.lua
                    due_ms = at_ms + max(2000, (at_ms - claimed_ms) // 8)
                    marks = [(at_ms, rows), marks[0], marks[2]]
                counted = max(counted, rows)
            was_paused = pace is None
            numbers = (due_ms, *marks[0], *marks[1], *marks[2])
            noted = Noted(str(claimed_ms).encode(), b" ".join(b"%d" % number for number in numbers))
            found.append((worked_s, counted, noted, at_ms, was_paused))
        return found

    def estimates(self) -> Iterator[tuple[float, Progress]]:
        """Yield the true time left and the estimate, at each look after the first tenth that is in no pause."""
        looks = self.looks()
        whole_s = looks[-1][0]
        for worked_s, rows, noted, at_ms, is_paused in looks:
            if worked_s >= whole_s / 10 and not is_paused:
                yield whole_s - worked_s, estimate(noted, at_ms, rows, ROWS)


def steady(_: float) -> float:
    return HASTE


def halving_after(seconds: float) -> Callable[[float], float]:
    return lambda at_s: HASTE if at_s < seconds else HASTE / 2


def stalling(after_s: float, for_s: float) -> Callable[[float], float]:
    return lambda at_s: 0.0 if after_s <= at_s < after_s + for_s else HASTE


def slowing(at_s: float) -> float:
    return max(HASTE / 3, HASTE - at_s / 4)


IMPORTS = {
    "a steady pace": Import(steady),
    "a steady pace, counted with each commit": Import(steady, commit=1000),
    "a pace that halves soon": Import(halving_after(20)),
    "a pace that halves half way": Import(halving_after(100)),
    "a pace that halves late": Import(halving_after(150)),
    "a pace that doubles": Import(lambda at_s: HASTE / 2 if at_s < 150 else HASTE),
    "a pace that goes down all the time": Import(slowing),
    "a stall early": Import(stalling(40, 60)),
    "a stall half way": Import(stalling(100, 60)),
    "a pause": Import(lambda at_s: None if 80 <= at_s < 180 else HASTE),
    "a pause, and another pace after it": Import(
        lambda at_s: None if 80 <= at_s < 180 else HASTE if at_s < 80 else HASTE / 2
    ),
    "a takeover at 90 %": Import(steady, done=0.9 * ROWS),
    "a takeover at 90 % by a slow worker": Import(lambda _: HASTE / 10, done=0.9 * ROWS),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_the_true_time_left_is_within_the_interval_in_four_of_five_looks(name: str) -> None:
    found = [
        (true_s, each) for true_s, each in replace(IMPORTS[name]).estimates() if each.seconds_left_low is not None
    ]
    held = [
        each.seconds_left_low <= true_s + 0.3 and true_s - 0.3 <= each.seconds_left_high for true_s, each in found
    ]
    assert len(held) >= 50
    assert sum(held) / len(held) >= 0.8


@pytest.mark.parametrize("name", IMPORTS)
def test_the_estimate_is_within_its_interval(name: str) -> None:
    for _, each in replace(IMPORTS[name]).estimates():
        if each.seconds_left is not None:
            assert 0 <= each.seconds_left_low <= each.seconds_left <= each.seconds_left_high


@pytest.mark.parametrize("name", ["a steady pace", "a takeover at 90 %", "a pause"])
def test_a_steady_pace_is_met_within_a_tenth_whatever_was_before(name: str) -> None:
    known = [each for _, each in replace(IMPORTS[name]).estimates() if each.rows_per_second is not None]
    assert len(known) > 50
    assert all(abs(each.rows_per_second - HASTE) < HASTE / 10 for each in known)


def test_most_looks_after_the_first_tenth_know_a_time() -> None:
    for name in IMPORTS:
        found = [each.seconds_left is not None for _, each in replace(IMPORTS[name]).estimates()]
        assert sum(found) / len(found) > 0.8, name


def test_the_interval_gets_narrower_towards_the_end() -> None:
    widths = [each.seconds_left_high - each.seconds_left_low for _, each in Import(steady).estimates()]
    assert widths[0] > 3 * widths[len(widths) // 2] > 9 * widths[-20]


def test_nothing_is_known_in_the_first_two_seconds() -> None:
    for _, rows, noted, at_ms, _ in Import(steady).looks()[:9]:
        assert estimate(noted, at_ms, rows, ROWS).rows_per_second is None


def test_without_a_total_the_pace_is_known_and_no_time() -> None:
    *_, (_, rows, noted, at_ms, _) = Import(steady).looks()[:200]
    assert estimate(noted, at_ms, rows, None) == Progress(
        datetime.fromtimestamp(1_764_000_000, UTC), pytest.approx(HASTE, rel=0.05)
    )


def test_while_no_rows_come_no_time_is_known() -> None:
    noted = Noted(b"1764000000000", b"0 1764000030000 500 1764000020000 500 1764000000000 0")
    found = estimate(noted, 1_764_000_040_000, 500, 1_000)
    assert (found.rows_per_second, found.seconds_left, found.seconds_left_high) == (0, None, None)


@pytest.mark.parametrize(
    "pace", [None, b"", b"1 2 3", b"1 2 3 4 5 6 7 8", b"1 2 3 4 5 6 x", b"1 -2 3 4 5 6 7", b"\xff", b"9" * 400]
)
def test_a_note_that_cannot_be_says_nothing(pace: bytes | None) -> None:
    assert estimate(Noted(b"1764000000000", pace), 1_764_000_100_000, 5, 10) == Progress(
        datetime.fromtimestamp(1_764_000_000, UTC)
    )
    assert estimate(Noted(b"x", pace), 1_764_000_100_000, 5, 10) == Progress()
    assert estimate(Noted(b"9" * 30, pace), 1_764_000_100_000, 5, 10) == Progress()


@pytest.mark.parametrize("marks", [b"1 5 9 5 9 5 9", b"1 9999999999999999 0 1 0 2 0"])
def test_rows_taken_back_and_marks_of_the_future_give_no_pace(marks: bytes) -> None:
    assert estimate(Noted(None, marks), 10_000, 3, 10).rows_per_second in (None, pytest.approx(0.3, rel=0.01))


JOB = Job(
    *("j", Kind.TRANSACTION_BATCH, Status.RUNNING, 1_000, 400, 60, 40),
    *(datetime.fromtimestamp(1_764_000_050, UTC), None, None, datetime.fromtimestamp(1_764_000_000, UTC), None),
    pace=Noted(b"1764000000000", b"0 1764000045000 450 1764000040000 400 1764000000000 0"),
)


def test_a_job_knows_its_progress() -> None:
    assert JOB.progress == Progress(
        datetime.fromtimestamp(1_764_000_000, UTC), 10.0, 50.0, pytest.approx(28.6, abs=0.1), 87.5
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"status": Status.COMPLETED},
        {"status": Status.QUEUED},
        {"metadata": {"batchPaused": True}},
        {"metadata": {"batchAwaitingWorker": True}},
        {"heartbeat_at": None},
    ],
    ids=str,
)
def test_of_a_job_that_nobody_works_at_only_the_start_is_known(changed: dict[str, object]) -> None:
    assert replace(JOB, **changed).progress == Progress(datetime.fromtimestamp(1_764_000_000, UTC))


def test_a_pause_that_is_only_asked_for_stops_nothing() -> None:
    assert replace(JOB, metadata={"batchPauseRequested": True}).progress == JOB.progress


def test_two_jobs_that_differ_in_their_pace_alone_are_equal() -> None:
    assert replace(JOB, pace=Noted()) == JOB
