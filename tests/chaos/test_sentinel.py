"""A primary behind Sentinel that is killed, or frozen and deposed: no acknowledged write is lost."""

import pytest

from tests.chaos.failovers import sentinel_primary_killed
from tests.chaos.frozen import sentinel_primary_frozen
from tests.chaos.working import BUSY_S
from tests.support.everything import do_everything
from tests.support.sdk import UNHURRIED
from tests.support.topologies import SentinelTopology


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_with_a_killed_primary() -> None:
    found = sentinel_primary_killed(1, BUSY_S)
    assert (found.lost, found.wrong) == ((), ())
    assert found.acknowledged > 100


@pytest.mark.slow
def test_a_deposed_primary_that_wakes_up_acknowledges_nothing_and_ends_no_job() -> None:
    found = sentinel_primary_frozen(BUSY_S)
    assert (found.lost, found.wrong) == ((), ())


@pytest.mark.slow
def test_everything_works_behind_sentinel_with_replicas_that_confirm() -> None:
    with SentinelTopology() as topology:
        do_everything(topology.url, min_replicas=1, **UNHURRIED)
