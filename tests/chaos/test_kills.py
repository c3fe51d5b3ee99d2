"""Workers killed with SIGKILL while reporting: after a takeover the counters are exact."""

import pytest

from tests.chaos.killing import Killing

KILLS = 50


@pytest.mark.slow
def test_fifty_workers_killed_while_they_report_leave_exact_counters(redis_url: str) -> None:
    killing = Killing(redis_url)
    found = killing.finding(KILLS)
    assert found.lost == ()
    assert len(killing.killed) == KILLS + len(range(0, KILLS, 4))  # some jobs' workers twice in a row
