"""A batch without a queue."""

from collections.abc import Callable
from typing import Any

import pytest

from batchstatus import JobStore
from batchstatus.integrations.task import Batch


@pytest.fixture
def batch_of(store: JobStore) -> Callable[[Callable[..., Any]], Batch]:
    """Makes a batch of a function, with the adapters' defaults."""

    def make(function: Callable[..., Any]) -> Batch:
        return Batch.checked(
            store=store,
            kind="transaction_batch",
            function=function,
            retry_for=(),
            max_retries=None,
            retry_delay_s=10.0,
            queued_at_most_s=None,
        )

    return make
