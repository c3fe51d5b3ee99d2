"""Enqueueing: first the job is created, then its message is sent, or that of each part."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchstatus.integrations.task import Batch
from batchstatus.integrations.work import Work
from batchstatus.model import values
from batchstatus.model.errors import JobNotFound
from batchstatus.model.job import MAX_PARTS, Job


@dataclass(frozen=True)
class Enqueuer:
    """`enqueue` and `enqueue_parts` of EnqueuedTask.

    `send` sends the messages of works, in their order, with the arguments and keyword arguments of the function.
    """

    batch: Batch
    takeover_s: float
    send: Callable[[Sequence[Work], tuple[Any, ...], Mapping[str, Any]], object]

    def enqueue(
        self,
        org: str,
        /,
        *args: Any,
        job_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        total_items: int | None = None,
        **kwargs: Any,
    ) -> Job:
        """Create the job, then send its message."""
        inspect.signature(self.batch.function).bind(None, *args, **kwargs)
        content = {"job_id": job_id, "metadata": metadata, "total_items": total_items}
        return self._enqueue(org, content, args, kwargs)

    def enqueue_parts(
        self,
        org: str,
        /,
        *args: Any,
        parts: int,
        job_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        total_items: int | None = None,
        **kwargs: Any,
    ) -> Job:
        """Create a split job, then send a message for each part."""
        values.count("parts", parts, 2, MAX_PARTS)
        inspect.signature(self.batch.function).bind(None, *args, part=1, **kwargs)
        content = {"job_id": job_id, "metadata": metadata, "total_items": total_items, "parts": parts}
        return self._enqueue(org, content, args, kwargs)

    def _enqueue(self, org: str, content: dict[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Job:
        """Create the job with this content, and send its messages.

        If one cannot be sent, the job that was created here is cancelled, and the error goes on. A job that has
        ended gets no message.
        """
        batch, job_id = self.batch, content["job_id"]
        is_new = job_id is None or not self._exists(org, job_id)
        job = batch.store.create(org, batch.kind, takeover_s=self.takeover_s, **content)
        if job.terminal:
            return job
        try:
            self.send(Work.of_job(org, job), args, kwargs)
        except BaseException:
            if is_new:
                batch.cancel(org, job.job_id)
            raise
        return job

    def _exists(self, org: str, job_id: str) -> bool:
        try:
            self.batch.store.get(org, job_id)
        except JobNotFound:
            return False
        return True
