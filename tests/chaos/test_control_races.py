"""A cancel and the end of its job at the same moment: an accepted request must have had its effect."""

import pytest

from batchstatus import JobStore, Status
from tests.chaos.racing import Races
from tests.support.service import LiveService

RACES = 1_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_job_whose_cancel_was_accepted_never_completes(live: LiveService, real_store: JobStore) -> None:
    races = Races(real_store, live.port)
    assert races.finding(RACES).wrong == ()
    assert races.wins.keys() == {Status.COMPLETED, Status.CANCELLED}
    assert min(races.wins.values()) > RACES / 10, races.wins
