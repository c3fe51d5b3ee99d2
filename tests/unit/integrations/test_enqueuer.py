"""Enqueueing without a queue: the job comes first, then the messages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from batchstatus import InvalidValue, JobExists, JobStore, Run, Status
from batchstatus.integrations.enqueuer import Enqueuer
from batchstatus.integrations.task import Batch
from batchstatus.integrations.work import Work

ORG, KIND = "org_acme", "transaction_batch"


def import_part(run: Run, path: str, part: int, *, sheet: int = 1) -> None:
    """Import a part of a file."""


def import_file(run: Run, path: str) -> None:
    """Import a file."""


class Queue:
    """What was sent; after `most` messages the broker is away."""

    def __init__(self, most: int = 1_000) -> None:
        self.most = most
        self.sent: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = []

    def send(self, works: Sequence[Work], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for work in works:
            if len(self.sent) == self.most:
                raise OSError("no broker")
            self.sent.append((work.message_id, args, kwargs))


@pytest.fixture
def make(batch_of: Callable[..., Batch]) -> Callable[..., Enqueuer]:
    """Makes an enqueuer that sends to a queue, of a function that imports a part."""
    return lambda queue, function=import_part: Enqueuer(batch_of(function), 60, queue.send)


def test_a_split_job_has_a_message_for_each_part(make: Callable[..., Enqueuer]) -> None:
    queue = Queue()
    job = make(queue).enqueue_parts(
        ORG, "november.csv", parts=3, sheet=2, job_id="november", metadata={"size": 7}, total_items=5
    )
    assert (job.parts, job.total_items, job.metadata["size"]) == (3, 5, 7)
    given = (("november.csv",), {"sheet": 2})
    assert queue.sent == [(f"november-part-{part}", *given) for part in (1, 2, 3)]


@pytest.mark.parametrize("arguments", [{"colour": "red"}, {"part": 3}], ids=lambda given: next(iter(given)))
def test_arguments_that_the_function_of_a_part_does_not_take_make_no_job(
    make: Callable[..., Enqueuer], store: JobStore, arguments: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=next(iter(arguments))):
        make(Queue()).enqueue_parts(ORG, "november.csv", parts=3, **arguments)
    assert store.list(ORG).jobs == ()


def test_a_function_that_takes_no_part_cannot_be_enqueued_in_parts(
    make: Callable[..., Enqueuer], store: JobStore
) -> None:
    with pytest.raises(TypeError, match="part"):
        make(Queue(), import_file).enqueue_parts(ORG, "november.csv", parts=3)
    assert store.list(ORG).jobs == ()


@pytest.mark.parametrize("parts", [None, 1, 1_001, "8"])
def test_a_number_of_parts_that_cannot_be_is_named(
    make: Callable[..., Enqueuer], store: JobStore, parts: Any
) -> None:
    with pytest.raises(InvalidValue, match=r"^parts"):
        make(Queue()).enqueue_parts(ORG, "november.csv", parts=parts)
    assert store.list(ORG).jobs == ()


def test_a_broker_that_goes_away_in_the_middle_leaves_no_queued_job(
    make: Callable[..., Enqueuer], store: JobStore
) -> None:
    queue = Queue(most=3)
    with pytest.raises(OSError, match="no broker"):
        make(queue).enqueue_parts(ORG, "november.csv", parts=8, job_id="november")
    assert len(queue.sent) == 3
    assert store.get(ORG, "november").status is Status.CANCELLED


def test_the_same_again_sends_the_messages_again_and_leaves_the_job_alone_if_they_cannot_be_sent(
    make: Callable[..., Enqueuer],
    store: JobStore,
) -> None:
    queue = Queue(most=5)
    enqueuer = make(queue)
    enqueuer.enqueue_parts(ORG, "november.csv", parts=3, job_id="november")
    with pytest.raises(OSError, match="no broker"):
        enqueuer.enqueue_parts(ORG, "november.csv", parts=3, job_id="november")
    assert [message_id for message_id, *_ in queue.sent[3:]] == ["november-part-1", "november-part-2"]
    assert store.get(ORG, "november").status is Status.QUEUED


def test_another_number_of_parts_under_the_same_id_is_refused(
    make: Callable[..., Enqueuer], store: JobStore
) -> None:
    enqueuer = make(Queue())
    enqueuer.enqueue_parts(ORG, "november.csv", parts=3, job_id="november")
    with pytest.raises(JobExists):
        enqueuer.enqueue_parts(ORG, "november.csv", parts=4, job_id="november")


def test_a_job_that_has_ended_gets_no_message(make: Callable[..., Enqueuer], store: JobStore) -> None:
    queue = Queue()
    enqueuer = make(queue)
    enqueuer.enqueue_parts(ORG, "november.csv", parts=3, job_id="november")
    store.control(ORG, "november", "cancel")
    job = enqueuer.enqueue_parts(ORG, "november.csv", parts=3, job_id="november")
    assert (job.status, len(queue.sent)) == (Status.CANCELLED, 3)
