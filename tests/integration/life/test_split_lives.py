"""Lives of split jobs: parts claimed, killed, taken over, paused, cancelled, failed, in any order."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from batchstatus.model.job import Action, Status
from tests.integration.life.split import SplitLives
from tests.integration.life.words import GRACE_MS, LEASE_MS, Content
from tests.support.set_clock import SetClockRedis

WINDOW_MS = 20_000
few = st.sampled_from([0, 0, 0, 1, 1, 2, 4])
rows = st.tuples(few, few, few)
who = st.sampled_from([0, 1, 2, 3])
part = st.sampled_from([1, 2, 3])

ACTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "time_passes": st.fixed_dictionaries(
        {"ms": st.sampled_from([1, GRACE_MS - 1, GRACE_MS, LEASE_MS, LEASE_MS, WINDOW_MS, 300_000_000, -1])}
    ),
    "claim": st.fixed_dictionaries(
        {"who": who, "part": part, "again": st.sampled_from([False, False, False, True])}
    ),
    "report": st.fixed_dictionaries(
        {
            "who": who,
            "rows": rows,
            "total": st.sampled_from([None, None, 0, 5]),
            "checkpoint": st.sampled_from([None, "7"]),
            "covers": rows,
            "step": st.sampled_from([*[1] * 8, 0, 0, 2, -1]),
            "paused": st.booleans(),
        }
    ),
    "finish": st.fixed_dictionaries(
        {
            "who": who,
            "status": st.sampled_from(
                [Status.COMPLETED] * 6 + [Status.INTERRUPTED] * 2 + [Status.FAILED, Status.CANCELLED]
            ),
            "error": st.sampled_from([None, "KeyError: id"]),
        }
    ),
    "control": st.fixed_dictionaries(
        {"action": st.sampled_from([Action.PAUSE, Action.PAUSE, Action.RESUME, Action.CANCEL])}
    ),
    "look": st.just({}),
    "settle": st.fixed_dictionaries({"part": part}),
    "begin": st.fixed_dictionaries(
        {
            "parts": st.sampled_from([2, 3]),
            "content": st.builds(
                Content,
                total=st.sampled_from([None, None, 3, 6]),
                takeover_ms=st.sampled_from([0, WINDOW_MS, WINDOW_MS]),
            ),
            "later": st.booleans(),
        }
    ),
}
WEIGHTS = {
    "time_passes": 4,
    "claim": 8,
    "report": 9,
    "finish": 4,
    "control": 2,
    "look": 3,
    "settle": 2,
    "begin": 1,
}
NAMES = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)])


@st.composite
def acts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(NAMES)
    return name, draw(ACTS[name])


class AnySplitLives(RuleBasedStateMachine):
    """Lives of split jobs, one after the other."""

    def __init__(self, server: SetClockRedis) -> None:
        super().__init__()
        self.lives = SplitLives(server)

    @initialize(job=ACTS["begin"])
    def the_first_job(self, job: dict[str, Any]) -> None:
        self.lives.begin(**job)
        for each in range(3):
            self.lives.claim(each, each + 1)

    @rule(act=acts())
    def happens(self, act: tuple[str, dict[str, Any]]) -> None:
        name, arguments = act
        getattr(self.lives, name)(**arguments)


def live(server: SetClockRedis, **how: Any) -> None:
    chosen = settings(
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
        phases=set(Phase) - {Phase.explain},
    )
    run_state_machine_as_test(lambda: AnySplitLives(server), settings=settings(chosen, **how))


@pytest.mark.timeout(600)
def test_a_split_job_lives_as_the_model_says(server: SetClockRedis) -> None:
    live(server, max_examples=15, stateful_step_count=30, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_other_split_lives_each_time_go_as_the_model_says(server: SetClockRedis) -> None:
    live(server, max_examples=80, stateful_step_count=60, derandomize=False)


@pytest.fixture
def lives(server: SetClockRedis) -> Iterator[SplitLives]:
    lives = SplitLives(server)
    yield lives
    server.flushall()


def ends(lives: SplitLives, status: Status) -> None:
    assert lives.life.status is status


def test_a_job_is_completed_with_its_last_part(lives: SplitLives) -> None:
    for each in range(3):
        lives.claim(each, each + 1)
        lives.report(each, (2, 1, 0), total=3)
    for each in range(3):
        ends(lives, Status.RUNNING)
        lives.finish(each)
    ends(lives, Status.COMPLETED)
    assert lives.life.total == 9


def test_a_killed_part_is_taken_over_from_its_checkpoint_while_the_others_go_on(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.claim(1, 2)
    lives.report(0, (3, 1, 0), checkpoint="2", covers=(1, 0, 0))
    lives.report(1, (5, 0, 0))
    lives.time_passes(LEASE_MS)
    lives.report(1, (1, 0, 0))
    lives.look()
    lives.time_passes(GRACE_MS)
    lives.look()
    lives.claim(2, 1)
    assert lives.met["takeover"] == 1
    assert lives.life.job("job").succeeded == 7
    lives.report(0)
    assert lives.met["report FENCED"] == 1


def test_a_part_that_fails_ends_the_job_and_others_lose_their_lease(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.claim(1, 2)
    lives.finish(0, Status.FAILED, "KeyError: id")
    ends(lives, Status.FAILED)
    lives.report(1)
    lives.finish(1)
    lives.claim(2, 3)
    assert [lives.met[each] for each in ("report FENCED", "finish FENCED", "claim ENDED")] == [1, 1, 1]


def test_a_part_that_nobody_takes_over_ends_the_job_as_interrupted(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.claim(1, 2)
    for ms in (LEASE_MS, GRACE_MS, WINDOW_MS - GRACE_MS):
        ends(lives, Status.RUNNING)
        lives.time_passes(ms)
        lives.report(1)
        lives.look()
    ends(lives, Status.INTERRUPTED)


def test_a_cancelled_job_ends_once_no_part_is_at_work(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.claim(1, 2)
    lives.finish(0, Status.INTERRUPTED)  # gives its lease back: it awaits a worker
    lives.control(Action.CANCEL)
    ends(lives, Status.RUNNING)
    lives.report(1)
    lives.finish(1)
    ends(lives, Status.CANCELLED)


def test_a_cancel_ends_a_job_at_once_whose_parts_have_no_worker(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.finish(0)
    lives.control(Action.CANCEL)
    ends(lives, Status.CANCELLED)


def test_a_job_is_paused_once_every_part_at_work_obeys(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.claim(1, 2)
    lives.control(Action.PAUSE)
    lives.report(0, (0, 0, 0), step=0, paused=True)
    assert "batchPaused" not in lives.store.get("org_acme", lives.job_id).metadata
    lives.report(1, (0, 0, 0), step=0, paused=True)
    assert "batchPaused" in lives.store.get("org_acme", lives.job_id).metadata
    lives.control(Action.RESUME)
    assert lives.store.get("org_acme", lives.job_id).state == "running"
    lives.report(0)
    lives.control(Action.PAUSE)
    lives.report(0, (0, 0, 0), step=0)
    assert "batchPaused" not in lives.store.get("org_acme", lives.job_id).metadata


def test_a_job_paused_again_before_its_workers_heard_of_the_resume_reads_paused_with_the_next_report(
    lives: SplitLives,
) -> None:
    for each in range(2):
        lives.claim(each, each + 1)
    lives.control(Action.PAUSE)
    for each in range(2):
        lives.report(each, (0, 0, 0), step=0, paused=True)
    for action in (Action.RESUME, Action.PAUSE):
        lives.control(action)
        assert "batchPaused" not in lives.store.get("org_acme", lives.job_id).metadata
    lives.report(0, (0, 0, 0), step=0, paused=True)
    assert "batchPaused" in lives.store.get("org_acme", lives.job_id).metadata


def test_a_part_that_has_completed_cannot_be_claimed_again(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.finish(0)
    lives.claim(1, 1)
    assert lives.met["claim ENDED"] == 1


def test_a_part_is_held_by_one_worker(lives: SplitLives) -> None:
    lives.claim(0, 1)
    lives.claim(1, 1)
    lives.claim(0, 1, again=True)
    assert (lives.met["claim HELD"], lives.met["claim OK"]) == (1, 2)


def test_a_job_keeps_the_rows_of_its_parts_up_to_the_limit_of_one_job(lives: SplitLives) -> None:
    lives.begin(parts=3)
    for each in range(3):
        lives.claim(each, each + 1)
        lives.report(each, (0, 4, 0))  # 9 are stored of a job, so 3 of each of its parts
    outcome = lives.store.outcome("org_acme", lives.job_id)
    assert (outcome.failures_total, len(outcome.failures), outcome.rows_lost) == (12, 9, 0)


def test_all_parts_keep_living_while_one_goes_on(lives: SplitLives, server: SetClockRedis) -> None:
    lives.claim(0, 1)
    lives.report(0, (0, 1, 0))
    lives.finish(0)
    lives.claim(1, 2)
    of_the_first = list(server.scan_iter("batchstatus:{*:part:1*"))
    assert len(of_the_first) == 2
    for key in of_the_first:
        server.pexpire(key, 500_000_000)
    lives.time_passes(250_000_000)
    lives.report(1)
    assert all(server.pttl(key) < 600_000_000 for key in of_the_first)
    (leases,) = server.scan_iter("batchstatus:{*:leases")
    server.pexpire(leases, 500_000_000)
    lives.time_passes(2)
    lives.report(1)
    renewed = [leases, *of_the_first]
    assert all(server.pttl(key) > 1_200_000_000 for key in renewed), "nobody has renewed the first part"


def test_the_end_of_a_job_renews_all_its_parts(lives: SplitLives, server: SetClockRedis) -> None:
    lives.claim(0, 1)
    lives.claim(1, 2)
    for key in server.scan_iter("batchstatus:{*:part:1*"):
        server.pexpire(key, 500_000_000)
    lives.finish(1, Status.FAILED)
    assert all(server.pttl(key) > 1_200_000_000 for key in server.scan_iter("batchstatus:{*:part:*"))
