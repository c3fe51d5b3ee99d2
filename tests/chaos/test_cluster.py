"""A Cluster: every operation works there, and the consequences of losing a server."""

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
from tests.chaos.working import BUSY_S
from tests.support.everything import do_everything
from tests.support.permissions import as_user, documented_addition, documented_rule, make_user
from tests.support.sdk import ORG, UNHURRIED
from tests.support.topologies import ClusterTopology

POLLED_S = 5.0  # the others take the nodes for dead after 3 s


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterTopology]:
    """A Cluster of three primaries without replicas."""
    with ClusterTopology(replicas=0) as found:
        yield found


@pytest.mark.slow
def test_everything_works_with_jobs_on_all_servers_of_a_cluster(cluster: ClusterTopology) -> None:
    store = batchstatus.connect(cluster.url, **UNHURRIED)
    queued = [store.create(ORG, "transaction_batch").job_id for _ in range(50)]
    for _ in range(2):
        do_everything(cluster.url, **UNHURRIED)
    for job_id in queued:
        store.control(ORG, job_id, "cancel")
    found = store.get_many(ORG, queued)
    store.close()
    assert {job_id: job.status for job_id, job in found.items()} == dict.fromkeys(queued, Status.CANCELLED)
    assert all(node.ask("KEYS", "batchstatus:{org_acme:*}") for node in cluster.nodes)


@pytest.mark.slow
def test_the_documented_permissions_are_sufficient(cluster: ClusterTopology) -> None:
    for node in cluster.nodes:
        with redis.Redis(port=node.port) as client:
            make_user(client, documented_rule() + documented_addition("On a Cluster"))
    do_everything(as_user(cluster.url), **UNHURRIED)


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_with_a_killed_primary() -> None:
    found = cluster_primary_killed(1, BUSY_S)
    assert (found.lost, found.wrong) == ((), ())
    assert found.acknowledged > 100


@pytest.mark.slow
def test_a_deposed_primary_that_wakes_up_undoes_nothing_and_ends_no_job() -> None:
    found = cluster_primary_frozen(BUSY_S)
    assert (found.lost, found.wrong) == ((), ())
    assert found.acknowledged > 100


@pytest.mark.slow
@pytest.mark.parametrize("lost", [cluster_slots_lost, cluster_slots_hang])
def test_exactly_the_jobs_in_lost_slots_are_unavailable(
    lost: Callable[[float], Finding],
) -> None:
    found = lost(POLLED_S)
    assert (found.lost, found.wrong) == ((), ())


@pytest.mark.slow
def test_a_lost_index_stops_only_history_and_creates_of_its_organization() -> None:
    # `make chaos` allows nothing for a busy machine, and also tries a hanging node, which takes a minute.
    found = cluster_index_lost(busy_s=10)
    assert (found.lost, found.wrong) == ((), ())
