"""Two workers that claim the same job at the same moment: one gets the job, the other gets LeaseHeld."""

import pytest

from batchstatus import JobStore
from batchstatus.model.job import Status
from tests.chaos.importing import claim_each
from tests.support.importers import Importer
from tests.support.sdk import ORG

CLAIMS = 1_000


@pytest.mark.slow
def test_exactly_one_of_two_simultaneous_claims_wins(redis_url: str, real_store: JobStore) -> None:
    job_ids = [real_store.create(ORG, "transaction_batch", takeover_s=60).job_id for _ in range(CLAIMS)]
    won = {"one": 0, "other": 0}
    with Importer(claim_each, redis_url, job_ids) as one, Importer(claim_each, redis_url, job_ids) as other:
        for number in range(len(job_ids)):
            for each in (one, other) if number % 2 else (other, one):  # whoever is told first has a head start
                each.tell("claim")
            said = {"one": one.told(), "other": other.told()}
            assert sorted(said.values()) == ["claimed", "held"]
            for name, answer in said.items():
                won[name] += answer == "claimed"
            for each in (one, other):
                each.tell("go on")
        assert one.exit_code() == other.exit_code() == 0
    assert {real_store.get(ORG, job_id).status for job_id in job_ids} == {Status.COMPLETED}
    assert min(won.values()) > 0, "one of the two was always late: this was no race"
