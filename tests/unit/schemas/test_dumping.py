"""Compiled schemas: they dump what the schemas themselves dump."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, fields

from batchstatus import Job, JobFailure, Kind, Status
from batchstatus.model.job import CONTROL_FLAGS, Page
from batchstatus.schemas import HistoryResponseSchema, JobResponseSchema
from batchstatus.schemas.dumping import compiled

times = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
counts = st.integers(min_value=0, max_value=2**53 - 1)
jobs = st.builds(
    Job,
    job_id=st.text(min_size=1),
    kind=st.sampled_from(Kind),
    status=st.sampled_from(Status),
    total_items=st.none() | counts,
    succeeded=counts,
    failed=counts,
    skipped=counts,
    heartbeat_at=st.none() | times,
    lease_expires_at=st.none() | times,
    worker_error=st.none() | st.text(),
    created_at=times,
    completed_at=st.none() | times,
    metadata=st.dictionaries(st.text() | st.sampled_from(CONTROL_FLAGS), json_values),
    job_failure=st.none() | st.builds(JobFailure, st.text(), st.text(), json_values),
    rev=counts,
)


class Polled(NamedTuple):
    job: Job


def in_order(body: Any) -> Any:
    """A body as pairs: the order of the members is part of the wire."""
    if isinstance(body, dict):
        return [(name, in_order(value)) for name, value in body.items()]
    return [in_order(each) for each in body] if isinstance(body, list) else body


@given(jobs)
def test_a_job_is_dumped_as_by_its_schema(job: Job) -> None:
    assert in_order(compiled(JobResponseSchema())(Polled(job))) == in_order(JobResponseSchema().dump(Polled(job)))


@given(st.lists(jobs, max_size=3), st.none() | st.text())
def test_a_page_is_dumped_as_by_its_schema(found: list[Job], cursor: str | None) -> None:
    page = Page(tuple(found), cursor)
    assert in_order(compiled(HistoryResponseSchema())(page)) == in_order(HistoryResponseSchema().dump(page))


def test_a_kind_of_field_that_it_does_not_know_is_refused_when_it_is_compiled() -> None:
    class WithDecimal(Schema):
        price = fields.Decimal()

    with pytest.raises(TypeError, match="Decimal"):
        compiled(WithDecimal())


def test_a_constant_needs_nothing_of_the_object() -> None:
    class Yes(Schema):
        success = fields.Constant(True)

    assert compiled(Yes())(object()) == {"success": True}
