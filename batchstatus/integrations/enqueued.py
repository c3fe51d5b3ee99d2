"""What the adapters make of a function that imports."""

from collections.abc import Mapping
from typing import Any, Protocol

from batchstatus.integrations.task import Batch
from batchstatus.model.job import Job


class EnqueuedTask(Protocol):
    """What `batch_task` of each adapter makes of a function: what the queue knows it by, with `enqueue`."""

    batch: Batch

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
        """Create the job, then send its message; the message's id is the job's. Returns the job, queued.

        The function gets `args` and `kwargs`. `job_id`, `metadata` and `total_items` are those of
        `JobStore.create`. If the message cannot be sent, the job is cancelled and the error goes on.

            job = import_file.enqueue("org_acme", "november.csv", metadata={"fileName": "november.csv"})
        """

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
        """Create one job that is split into `parts` (2 to 1,000), then send a message for each. Returns the job.

        The function gets the number of its part, from 1, as the keyword argument `part`, beside `args` and
        `kwargs`; `run.job.parts` is how many there are. The id of a part's message is the job's with the number,
        `november-part-3`. If a message cannot be sent, the job is cancelled, and the error goes on with a note
        that names the message; those of the parts before it were sent, and do nothing when they come.

            job = import_file.enqueue_parts("org_acme", "november.csv", parts=8)
        """
