"""Fixtures of the tests of the live service: a key that may read, and a job that it may read."""

import pytest

from batchstatus import JobStore

ORG = "org_acme"


@pytest.fixture
def key(real_store: JobStore) -> str:
    """A key of ORG that may read, control transactions, and run jobs."""
    made, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    return made


@pytest.fixture
def job_id(real_store: JobStore) -> str:
    """A queued job of ORG."""
    return real_store.create(ORG, "transaction_batch").job_id
