"""Counting relies on the global interpreter lock; a Python that runs without it is refused."""

import sys

import pytest

from batchstatus import BatchStatusError, JobStore, Status
from tests.support.sdk import ORG


@pytest.mark.parametrize("enabled", [True, False])
def test_a_run_needs_the_gil(store: JobStore, monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: enabled, raising=False)
    job = store.create(ORG, "transaction_batch")
    if not enabled:
        with pytest.raises(BatchStatusError, match="PYTHON_GIL=1"):
            store.run(ORG, job.job_id)
        assert store.get(ORG, job.job_id).status is Status.QUEUED
        return
    with store.run(ORG, job.job_id):
        pass
    assert store.get(ORG, job.job_id).status is Status.COMPLETED
