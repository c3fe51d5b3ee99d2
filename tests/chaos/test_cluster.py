"""A Cluster: all that can be done is done there too, and what the loss of a server means."""

from collections.abc import Callable, Iterator

import pytest
import redis

import batchstatus
from batchstatus import Status
from tests.chaos.failovers import cluster_primary_killed
from tests.chaos.finding import Finding
from tests.chaos.frozen import cluster_primary_frozen
from tests.chaos.lost_index import cluster_index_lost
from tests.chaos.lost_slots import cluster_slots_hang, cluster_slots_lost
from tests.support.everything import do_everything
from tests.support.permissions import as_user, documented_addition, documented_rule, make_user
from tests.support.sdk import ORG
from tests.support.topologies import ClusterTopology

POLLED_S = 2.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterTopology]:
    """A Cluster of three primaries and nothing else."""
    with ClusterTopology(replicas=0) as found:
        yield found


@pytest.mark.slow
def test_everything_works_with_the_jobs_of_an_org_spread_over_the_servers(cluster: ClusterTopology) -> None:
    store = batchstatus.connect(cluster.url)
    queued = [store.create(ORG, "transaction_batch").job_id for _ in range(50)]
    for _ in range(2):
        do_everything(cluster.url)
    for job_id in queued:
        store.control(ORG, job_id, "cancel")
    found = store.get_many(ORG, queued)
    store.close()
    assert {job_id: job.status for job_id, job in found.items()} == dict.fromkeys(queued, Status.CANCELLED)
    assert all(node.ask("KEYS", "batchstatus:{org_acme:*}") for node in cluster.nodes)


@pytest.mark.slow
def test_a_user_with_the_documented_permissions_can_do_everything(cluster: ClusterTopology) -> None:
    for node in cluster.nodes:
        with redis.Redis(port=node.port) as client:
            make_user(client, documented_rule() + documented_addition("On a Cluster"))
    do_everything(as_user(cluster.url))


@pytest.mark.slow
def test_a_killed_primary_takes_nothing_with_it_that_was_acknowledged() -> None:
    found = cluster_primary_killed(1)
    assert (found.lost, found.wrong) == ((), ())
    assert found.acknowledged > 100


@pytest.mark.slow
def test_a_primary_that_wakes_up_deposed_takes_nothing_back_and_ends_no_job() -> None:
    found = cluster_primary_frozen()
    assert (found.lost, found.wrong) == ((), ())
    assert found.acknowledged > 100


@pytest.mark.slow
@pytest.mark.parametrize("lost", [cluster_slots_lost, cluster_slots_hang])
def test_slots_without_a_server_are_unavailable_and_all_others_are_as_ever(
    lost: Callable[[float], Finding],
) -> None:
    found = lost(POLLED_S)
    assert (found.lost, found.wrong) == ((), ())


@pytest.mark.slow
def test_without_the_slot_of_its_index_an_org_has_no_history_and_no_new_jobs_and_all_else_goes_on() -> None:
    found = cluster_index_lost()  # `make chaos` has its node hang as well, which takes a minute
    assert (found.lost, found.wrong) == ((), ())
