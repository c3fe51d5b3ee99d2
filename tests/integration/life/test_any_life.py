"""Any life: workers, takers and readers, in any order, at any moment; hypothesis looks for one that goes wrong.

The calls go to `batchstatus.protocol.verbs` and the reads to JobStore. The store's clock stands still until an act
moves it, so every answer, every stored field and every boundary is known to the millisecond. After each call the
model tells what the answer and the store must be, and the rules of a job's life hold without the model, too.
"""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from batchstatus.model.job import TERMINAL, Action, Status
from tests.integration.life.lives import Lives
from tests.integration.life.words import GRACE_MS, KINDS, LEASE_MS, Content, End
from tests.support.set_clock import SetClockRedis

FAILURE = '{"code":"WORKER_ERROR","message":"KeyError: id","details":{"row":3}}'

few = st.sampled_from([*[0] * 6, 1, 1, 1, 2, 3])
mostly = st.sampled_from([*[True] * 9, False])
who = st.sampled_from([*["holder"] * 16, 0, 1, 2, 3])
fences = st.sampled_from([*["its own"] * 12, "the one before", "one too high", "another's"])
contents = st.builds(
    Content,
    kind=st.sampled_from(KINDS.names),
    total=st.sampled_from([*[None] * 5, 0, 1, 2, 3, 4, 5, 6, 6]),
    takeover_ms=st.sampled_from([0, GRACE_MS - 1, 20_000, 20_000, 60_000]),
)
jobs = st.fixed_dictionaries(
    {
        "content": contents,
        "max_rows": st.sampled_from([2, 3, 1_500, 1_000_000]),
        "begun": st.sampled_from([*["claimed"] * 8, "created", "created", "not at all", "not at all"]),
    }
)
reports = st.fixed_dictionaries(
    {
        "succeeded": few,
        "failed": few,
        "skipped": few,
        "total": st.sampled_from([*[None] * 12, 0, 3, 6]),
        "checkpoint": st.sampled_from([None, None, "0", "7", '""', '{"row":3}']),
        "covers": st.sampled_from([(9_999, 9_999, 9_999), (0, 0, 0)]) | st.tuples(few, few, few),
    }
)
ends = st.builds(
    End,
    status=st.sampled_from([Status.INTERRUPTED, Status.INTERRUPTED, *sorted(TERMINAL)]),
    worker_error=st.sampled_from([None, "KeyError: id"]),
    job_failure=st.sampled_from([None, FAILURE]),
)


@dataclass(frozen=True)
class Act:
    """An act to come: a method of Lives, and its arguments."""

    name: str
    arguments: dict[str, Any]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the act as a call, for hypothesis."""
        printer.text(f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})")


ARGUMENTS = {
    "create": {"content": st.none() | contents, "late_ms": st.sampled_from([*[None] * 4, 0, 0, 1])},
    "claim": {
        "who": who,
        "token": st.sampled_from(["new", "new", "new", "last", "first"]),
        "heard": mostly,
        "placed": mostly,
    },
    "fall_silent": {
        "moment": st.sampled_from(["grace", "grace", "window"]),
        "beside_ms": st.sampled_from([-1, 0, 0, 1]),
        "taker": st.sampled_from([None, None, 0, 1, 2, 3]),
        "comes_back": st.sampled_from(["never", "never", "never", "to report", "to finish"]),
        "pausing": st.sampled_from([False, False, True]),
    },
    "give_back": {"ms": st.sampled_from([0, 0, -1, 19_999, 20_000]), "taker": st.sampled_from([0, 1, 2, 3])},
    "work": {"content": reports},
    "work_on_thousands": {
        "failed": st.sampled_from([999, 1_000, 1_001, 2_001]),
        "skipped": st.sampled_from([0, 1, 1_001]),
    },
    "report": {
        "who": who,
        "content": reports,
        "fence": fences,
        "step": st.sampled_from([*[1] * 8, 2, -1]),
        "fate": st.sampled_from([*["arrives"] * 4, "is lost", "arrives, its answer is lost"]),
    },
    "report_again": {"who": who},
    "heartbeat": {"who": who, "fence": fences, "paused": st.booleans()},
    "finish": {
        "who": who,
        "fence": fences,
        "end": ends,
        "then": st.none() | ends,
        "lost": st.sampled_from([None, None, None, 0, 0, 1]),
        "placed": st.booleans(),
    },
    "finish_again": {"who": who},
    "control": {
        "action": st.sampled_from([Action.PAUSE, Action.PAUSE, Action.RESUME, Action.CANCEL]),
        "placed": st.booleans(),
    },
    "control_and_heed": {"action": st.sampled_from(Action), "end": ends},
    "settle": {"placed": mostly},
    "read": {"limit": st.sampled_from([None, None, 1, 2, 500])},
    "time_passes": {
        "until": st.sampled_from(
            [1, GRACE_MS - 1, GRACE_MS, LEASE_MS, "lease", "grace", "window", -1, -GRACE_MS, -40_000]
        )
    },
}
"""What can happen, and how."""

WEIGHTS = {
    "time_passes": 5,  # the smallest comes first: hypothesis can drop such a step from a failing example
    "create": 2,
    "claim": 4,
    "fall_silent": 4,
    "give_back": 1,
    "work": 6,
    "work_on_thousands": 3,
    "report": 4,
    "report_again": 3,
    "heartbeat": 3,
    "finish": 3,
    "finish_again": 2,
    "control": 2,
    "control_and_heed": 2,
    "settle": 2,
    "read": 3,
}
"""How often; of all acts together."""

NAMES = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)])
ARGUMENTS_OF = {name: st.fixed_dictionaries(arguments) for name, arguments in ARGUMENTS.items()}


@st.composite
def acts(draw: st.DrawFn) -> Act:
    name = draw(NAMES)
    return Act(name, draw(ARGUMENTS_OF[name]))


class AnyLives(RuleBasedStateMachine):
    """Lives of jobs, the next when one has ended.

    All happens in one rule: of several rules, hypothesis leaves out about half in each example, and a takeover
    needs nearly all of what can happen.
    """

    def __init__(self, server: SetClockRedis) -> None:
        super().__init__()
        self.lives = Lives(server)

    @initialize(jobs=st.lists(jobs, min_size=1, max_size=6))
    def the_first_job(self, jobs: list[dict[str, Any]]) -> None:
        self.jobs = cycle(jobs)
        self.next_job(**next(self.jobs))

    def next_job(self, content: Content, max_rows: int, begun: str) -> None:
        self.lives.next_job(max_rows)
        if begun != "not at all":
            self.lives.create(content, late_ms=1 if begun == "created" else None)
        if begun == "claimed":
            self.lives.claim(placed=False)

    @rule(act=acts())
    def happens(self, act: Act) -> None:
        before = {*self.lives.met}
        getattr(self.lives, act.name)(**act.arguments)
        for landmark in {*self.lives.met} - before:
            event(landmark)
        if self.lives.calls_when_over > 5:
            self.next_job(**next(self.jobs))

    def teardown(self) -> None:
        self.lives.end()


def live(server: SetClockRedis, **how: Any) -> None:
    """Live so many lives (`max_examples`) of so many acts."""
    chosen = settings(
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
        phases=set(Phase) - {Phase.explain},  # it traces every line, and a shrinking takes minutes
    )
    run_state_machine_as_test(lambda: AnyLives(server), settings=settings(chosen, **how))


@pytest.mark.timeout(600)  # finding the shortest life that shows a failure takes a while
def test_a_job_lives_as_the_model_says(server: SetClockRedis) -> None:
    """The same lives each time: the fast tier says the same of the same code."""
    live(server, max_examples=12, stateful_step_count=25, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_other_lives_each_time_go_as_the_model_says(server: SetClockRedis) -> None:
    """Chance decides what they meet; `test_directed_lives` meets everything."""
    live(server, max_examples=100, stateful_step_count=50, derandomize=False)
