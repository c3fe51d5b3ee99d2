"""What a message is to run: a job, or one part of a split job."""

import json

import pytest

from batchstatus import JobStore
from batchstatus.integrations.work import Work, sending

ORG, KIND = "org_acme", "transaction_batch"


def test_a_job_that_is_not_split_is_one_work_and_its_id_the_messages(store: JobStore) -> None:
    (work,) = Work.of_job(ORG, store.create(ORG, KIND, job_id="november"))
    assert (work.part, work.message_id) == (None, "november")


def test_a_split_job_has_a_work_for_each_part(store: JobStore) -> None:
    works = Work.of_job(ORG, store.create(ORG, KIND, job_id="november", parts=3))
    assert [work.message_id for work in works] == ["november-part-1", "november-part-2", "november-part-3"]


@pytest.mark.parametrize("work", [Work(ORG, "november"), Work(ORG, "november", 3), Work(ORG, "a-part-1", 2)])
def test_a_message_says_what_it_is_to_run_after_its_way_through_json(work: Work) -> None:
    assert Work.of_message(json.loads(json.dumps(work.argument)), work.message_id) == work


def test_a_job_whose_id_looks_like_a_parts_is_run_whole() -> None:
    assert Work.of_message(ORG, "november-part-3") == Work(ORG, "november-part-3")


def test_an_error_says_which_message_was_not_sent() -> None:
    with pytest.raises(OSError, match="no broker") as raised, sending("november-part-4"):
        raise OSError("no broker")
    assert raised.value.__notes__ == ["message november-part-4 was not sent"]
