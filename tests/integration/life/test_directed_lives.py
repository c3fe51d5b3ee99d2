"""Every answer of every script, and every landmark of a job's life, met by a life that leads straight to it."""

from collections.abc import Callable

import pytest

from batchstatus.model.job import Action, Status
from tests.integration.life.acts import GIVEN_BACK
from tests.integration.life.landmarks import LANDMARKS, every_answer
from tests.integration.life.lives import Lives
from tests.integration.life.words import Content, End

WITH_WINDOW = Content(takeover_ms=20_000)

ANSWERED: dict[str, Callable[[Lives], object]] = {
    "create CREATED": lambda life: life.create(),
    "create EXISTS": lambda life: (life.create(), life.create()),
    "create STALE": lambda life: life.create(late_ms=1),
    "create TAKEN": lambda life: (life.create(), life.create(Content(total=5))),
    "claim OK": lambda life: (life.create(), life.claim()),
    "claim PLACE": lambda life: (life.create(), life.claim(placed=False)),
    "claim HELD": lambda life: (life.begin(), life.claim(1)),
    "claim ENDED": lambda life: (life.begin(), life.finish(), life.claim(1)),
    "claim NOT_FOUND": lambda life: life.claim(),
    "report OK": lambda life: (life.begin(), life.report()),
    "report DUPLICATE": lambda life: (life.begin(), life.heartbeat()),
    "report FENCED": lambda life: (life.begin(), life.report(fence="one too high")),
    "report GAP": lambda life: (life.begin(), life.report(step=2)),
    "report EMPTY": lambda life: (life.begin(), life.report(content={"succeeded": 0})),
    "report NOT_FOUND": lambda life: life.report(),
    "finish OK": lambda life: (life.begin(), life.finish()),
    "finish PLACE": lambda life: (life.begin(), life.finish(placed=False)),
    "finish RELEASED": lambda life: (life.begin(WITH_WINDOW), life.finish(end=GIVEN_BACK)),
    "finish FENCED": lambda life: (life.begin(), life.finish(fence="one too high")),
    "finish GAP": lambda life: (life.begin(), life.finish(lost=1)),
    "finish NOT_FOUND": lambda life: life.finish(),
    "control OK": lambda life: (life.begin(), life.control(Action.PAUSE)),
    "control PLACE": lambda life: (life.create(), life.control(Action.CANCEL, placed=False)),
    "control ENDED": lambda life: (life.begin(), life.finish(), life.control(Action.PAUSE)),
    "control NOT_FOUND": lambda life: life.control(Action.PAUSE),
    "settle QUEUED": lambda life: (life.create(), life.settle()),
    "settle ALIVE": lambda life: (life.begin(), life.settle()),
    "settle SUSPECT": lambda life: (life.begin(), life.time_passes("lease"), life.settle()),
    "settle VACANT": lambda life: (life.begin(WITH_WINDOW), life.fall_silent()),
    "settle PLACE": lambda life: (life.begin(), life.fall_silent()),
    "settle SETTLED": lambda life: (life.begin(), life.fall_silent()),
    "settle ENDED": lambda life: (life.begin(), life.finish(), life.settle()),
    "settle NOT_FOUND": lambda life: life.settle(),
}

PASSED: dict[str, Callable[[Lives], object]] = {
    "a claim repeated": lambda life: (life.begin(), life.claim(0, "last")),
    "a takeover": lambda life: (life.begin(WITH_WINDOW), life.fall_silent(taker=1)),
    "a takeover of counted rows, from a checkpoint": lambda life: (
        life.begin(WITH_WINDOW),
        life.report(content={"succeeded": 1, "checkpoint": "1", "covers": (1, 0, 0)}),
        life.fall_silent(taker=1),
    ),
    "a takeover that drops rows which the checkpoint does not cover": lambda life: (
        life.begin(WITH_WINDOW),
        life.report(content={"succeeded": 2, "checkpoint": "1", "covers": (1, 0, 0)}),
        life.fall_silent(taker=1),
    ),
    "a takeover that drops rows without a checkpoint": lambda life: (
        life.begin(WITH_WINDOW),
        life.report(content={"succeeded": 1}),
        life.fall_silent(taker=1),
    ),
    "a takeover that drops only some of the stored rows": lambda life: (
        life.begin(WITH_WINDOW),
        life.report(content={"failed": 3, "checkpoint": "1", "covers": (0, 2, 0)}),
        life.fall_silent(taker=1),
    ),
    "a total that was too low": lambda life: (
        life.begin(Content(total=1)),
        life.report(content={"succeeded": 3}),
    ),
    "a taker refused by a second look too early": lambda life: (
        life.begin(WITH_WINDOW),
        life.fall_silent("grace", -1, taker=1),
    ),
    "a taker refused after the window": lambda life: (
        life.begin(WITH_WINDOW),
        life.fall_silent("window", taker=1),
    ),
    "a lease given back, and taken": lambda life: (life.begin(WITH_WINDOW), life.give_back()),
    "a lease given back, not taken under a clock that went back": lambda life: (
        life.begin(WITH_WINDOW),
        life.give_back(-1),
    ),
    "a duplicate of counted rows": lambda life: (life.begin(), life.report(), life.report_again()),
    "a duplicate after a takeover": lambda life: (
        life.begin(WITH_WINDOW),
        life.fall_silent(taker=1),
        life.report(),
        life.report_again(),
    ),
    "a worker past its lease goes on": lambda life: (life.begin(), life.time_passes("lease", 1), life.heartbeat()),
    "a sign of life wipes a mark": lambda life: (
        life.begin(),
        life.time_passes("lease"),
        life.settle(),
        life.heartbeat(),
    ),
    "a sign of life under a clock that went back": lambda life: (
        life.begin(),
        life.time_passes(-1),
        life.heartbeat(),
    ),
    "an old fence refused on a running job": lambda life: (
        life.begin(WITH_WINDOW),
        life.fall_silent(taker=1, comes_back="to report"),
    ),
    "rows beyond the most that are stored": lambda life: (
        life.begin(max_rows=2),
        life.report(content={"failed": 3}),
    ),
    "a thousand rows and more in one report": lambda life: (life.begin(), life.work_on_thousands()),
    "a finish repeated": lambda life: (life.begin(), life.finish(), life.finish_again()),
    "a finish repeated with another status": lambda life: (life.begin(), life.finish(then=End(Status.FAILED))),
    "a finish of a job that was settled": lambda life: (life.begin(), life.fall_silent(comes_back="to finish")),
    "a job with a takeover window is settled": lambda life: (life.begin(WITH_WINDOW), life.fall_silent("window")),
    "a job that was to be cancelled ends as that": lambda life: (
        life.begin(),
        life.control_and_heed(Action.CANCEL),
    ),
    "a pause is obeyed": lambda life: (life.begin(), life.control_and_heed(Action.PAUSE)),
    "a paused job is taken over": lambda life: (life.begin(WITH_WINDOW), life.fall_silent(taker=1, pausing=True)),
    "a queued job is cancelled at once": lambda life: (life.create(), life.control(Action.CANCEL)),
    "a reader finds it SUSPECT": lambda life: (life.begin(), life.time_passes("lease"), life.read()),
    "a job that awaits a worker is cancelled at once": lambda life: (
        life.begin(WITH_WINDOW),
        life.fall_silent(),
        life.control(Action.CANCEL, placed=False),
    ),
    "a job that was to be cancelled ends once its worker is known to be dead": lambda life: (
        life.begin(WITH_WINDOW),
        life.control(Action.CANCEL),
        life.fall_silent(),
    ),
    "a lease of a job that was to be cancelled is given back": lambda life: (
        life.begin(WITH_WINDOW),
        life.control(Action.CANCEL),
        life.finish(end=GIVEN_BACK, placed=False),
    ),
    "a worker that was thought dead comes back": lambda life: (
        life.begin(WITH_WINDOW),
        life.fall_silent(comes_back="to report"),
    ),
    "a reader finds it VACANT": lambda life: (
        life.begin(WITH_WINDOW),
        life.time_passes("lease"),
        life.settle(),
        life.time_passes("grace"),
        life.read(),
    ),
    "a reader finds it SETTLED": lambda life: (life.begin(), life.fall_silent()),
}


def test_every_answer_and_every_landmark_has_a_directed_life() -> None:
    assert ANSWERED.keys() == every_answer()
    assert PASSED.keys() == LANDMARKS


@pytest.mark.parametrize("answer", ANSWERED)
def test_an_answer_is_given_as_the_model_says(lives: Lives, answer: str) -> None:
    ANSWERED[answer](lives)
    assert lives.met[answer] > 0


@pytest.mark.parametrize("landmark", PASSED)
def test_a_landmark_is_passed_as_the_model_says(lives: Lives, landmark: str) -> None:
    PASSED[landmark](lives)
    assert lives.met[landmark] > 0


PLACED: dict[str, Callable[[Lives], object]] = {
    "running": lambda life: (life.create(), life.claim()),
    "completed": lambda life: (life.begin(), life.report(), life.finish()),
    "failed": lambda life: (life.begin(), life.report(), life.finish(end=End(Status.FAILED))),
    "cancelled": lambda life: (life.create(), life.control(Action.CANCEL)),
    "interrupted": lambda life: (
        life.begin(),
        life.report(),
        life.time_passes("lease"),
        life.settle(),
        life.time_passes("grace"),
        life.settle(),
    ),
}
"""A life for each status, in which the step into that status writes the index entries by itself."""


@pytest.mark.parametrize("status", PLACED)
def test_a_step_in_one_script_lists_the_job_once_and_is_otherwise_as_the_model_says(
    lives: Lives, status: str
) -> None:
    PLACED[status](lives)
    assert lives.met[f"places itself: {status}"] > 0
