"""The settings that tests and workers of queues share. The environment says where store and broker are."""

import os

import batchstatus

ORG, KIND = "org_acme", "transaction_batch"
LEASE_S, GRACE_S = 1.5, 0.3
VISIBILITY_S = float(os.environ.get("QUEUES_VISIBILITY_S", "14"))


def store() -> batchstatus.JobStore:
    """The store, with a short lease."""
    url = os.environ.get("QUEUES_STORE", "redis://127.0.0.1:1/0")
    return batchstatus.connect(url, lease_s=LEASE_S, grace_s=GRACE_S, timeout_s=30)


def broker() -> str:
    """The broker's URL."""
    return os.environ.get("QUEUES_BROKER", "redis://127.0.0.1:1/0")
