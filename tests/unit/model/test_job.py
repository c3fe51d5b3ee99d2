"""The job: kinds, statuses, and the values derived from its counters."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import pytest

from batchstatus.model.job import MAX_COUNT, TERMINAL, TRANSITIONS, Job, Kind, Outcome, Status

NOW = datetime(2026, 11, 23, 15, 4, 5, 123_000, tzinfo=UTC)
JOB = Job(
    job_id="j",
    kind=Kind.TRANSACTION_BATCH,
    status=Status.RUNNING,
    total_items=None,
    succeeded=4,
    failed=2,
    skipped=1,
    heartbeat_at=NOW,
    lease_expires_at=NOW,
    worker_error=None,
    created_at=NOW,
    completed_at=None,
)


def test_kinds_and_statuses_are_spelt_as_on_the_wire():
    assert [*Kind] == ["entity_automatic", "transaction_batch", "user_event_batch"]
    assert [*Status] == ["queued", "running", "completed", "failed", "cancelled", "interrupted"]


@pytest.mark.parametrize(
    ("status", "following"),
    {
        "queued": {"running", "cancelled"},
        "running": {"running", "completed", "failed", "cancelled", "interrupted"},
        "completed": set(),
        "failed": set(),
        "cancelled": set(),
        "interrupted": set(),
    }.items(),
)
def test_a_status_may_change_only_to_these(status, following):
    assert TRANSITIONS[Status(status)] == following


def test_every_status_has_transitions_and_can_be_reached():
    assert TRANSITIONS.keys() == set(Status)
    assert frozenset.union(*TRANSITIONS.values()) | {Status.QUEUED} == set(Status)


@pytest.mark.parametrize("status", Status)
def test_a_job_is_terminal_if_no_status_can_follow(status):
    final = status in {"completed", "failed", "cancelled", "interrupted"}
    assert replace(JOB, status=status).terminal is final
    assert (status in TERMINAL) is final


def test_done_rows_are_those_with_an_outcome():
    assert JOB.done == 7


@pytest.mark.parametrize(("failed", "shown", "truncated"), [(0, 0, False), (2, 2, False), (3, 2, True)])
def test_an_outcome_is_truncated_when_more_rows_failed_than_it_shows(failed, shown, truncated):
    outcome = Outcome(replace(JOB, failed=failed), failures=({},) * shown, skips=())
    assert outcome.truncated is truncated
    assert outcome.failures_total == failed


def test_the_totals_of_an_outcome_are_the_jobs_counters():
    outcome = Outcome(JOB, failures=(), skips=())
    assert (outcome.failures_total, outcome.skips_total) == (2, 1)


@pytest.mark.parametrize(("thing", "name"), [(JOB, "failed"), (Outcome(JOB, (), ()), "failures")])
def test_jobs_and_outcomes_are_immutable(thing, name):
    with pytest.raises(FrozenInstanceError):
        setattr(thing, name, 0)


def test_the_largest_count_is_the_largest_exact_integer_of_json():
    assert float(MAX_COUNT) == MAX_COUNT
    assert float(MAX_COUNT + 2) != MAX_COUNT + 2
