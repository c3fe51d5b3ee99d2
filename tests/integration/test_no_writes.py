"""A store that answers and takes no writes: what the service still does."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from batchstatus import JobStore
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from tests.support.nodes import Node
from tests.support.sdk import ORG, UNHURRIED, claim_and_vanish, plain_client
from tests.support.waiting import wait_until

KIND = "transaction_batch"
SETTINGS = StoreSettings(grace_s=0.1, **UNHURRIED)


class Scene:
    """A store with a queued job and two whose workers are dead, and the key of a caller."""

    def __init__(self, node: Node) -> None:
        self.node = node
        with closing(JobStore.open(node.url, SETTINGS)) as store, plain_client(node.url) as client:
            self.dead = [store.create(ORG, KIND).job_id for _ in range(2)]
            self.queued = store.create(ORG, KIND).job_id
            for job_id in self.dead:
                claim_and_vanish(client, store.get(ORG, job_id))
            self.key, _ = store.api_keys.create(ORG, ["transactions:create"])

    def get(self, web: FlaskClient, path: str) -> Any:
        return web.get(path, headers={"Authorization": f"Bearer {self.key}"})


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Node() as node:
        yield Scene(node)


def assert_pages_have_all(scene: Scene, web: FlaskClient) -> None:
    """Pages of history, and jobs by id, have the dead jobs as they read."""
    ids = [scene.queued, *reversed(scene.dead)]
    for path in ("/batch-import/jobs", f"/batch-import/jobs?ids={','.join(ids)}"):
        answer = scene.get(web, path)
        assert answer.status_code == 200, answer.json
        read = {job["jobId"]: job for job in answer.json["jobs"]}
        assert {job_id: job["status"] for job_id, job in read.items()} == {
            scene.queued: "queued",
            **dict.fromkeys(scene.dead, "running"),
        }
        assert all(read[each]["leaseExpiresAt"] for each in scene.dead)


def service_over(url: str, settings: StoreSettings = SETTINGS) -> tuple[JobStore, FlaskClient]:
    store = JobStore.open(url, settings)
    return store, create_app(store).test_client()


@pytest.mark.parametrize("min_replicas", [0, 1])
def test_a_page_with_a_dead_job_is_answered_where_too_few_replicas_are_there(
    scene: Scene, min_replicas: int
) -> None:
    store, web = service_over(scene.node.url, replace(SETTINGS, min_replicas=min_replicas, timeout_s=2))
    with closing(store):
        if not min_replicas:
            scene.node.ask("CONFIG", "SET", "min-replicas-to-write", 1)
        assert_pages_have_all(scene, web)
        # And once writes are taken again, the jobs are settled
        scene.node.ask("CONFIG", "SET", "min-replicas-to-write", 0)
    store, web = service_over(scene.node.url)
    with closing(store):

        def statuses() -> set[str]:
            return {job["status"] for job in scene.get(web, "/batch-import/jobs").json["jobs"]}

        wait_until(lambda: statuses() == {"queued", "interrupted"})


@pytest.mark.parametrize("min_replicas", [0, 1])
def test_a_poll_is_503_only_where_it_cannot_be_told_whether_the_worker_is_dead(
    scene: Scene, min_replicas: int
) -> None:
    with closing(JobStore.open(scene.node.url, SETTINGS)) as store:
        alive = store.create(ORG, KIND)
        store.steps(ORG, alive.job_id).claim("a worker", lease_ms=600_000)
    store, web = service_over(scene.node.url, replace(SETTINGS, min_replicas=min_replicas, timeout_s=2))
    with closing(store):
        if not min_replicas:
            scene.node.ask("CONFIG", "SET", "min-replicas-to-write", 1)
        for job_id, status in {scene.queued: 200, alive.job_id: 200, scene.dead[0]: 503}.items():
            assert scene.get(web, f"/batch-import/jobs/{job_id}").status_code == status
        scene.node.ask("CONFIG", "SET", "min-replicas-to-write", 0)
    store, web = service_over(scene.node.url)
    with closing(store):
        path = f"/batch-import/jobs/{scene.dead[0]}"
        wait_until(lambda: scene.get(web, path).json["job"]["status"] == "interrupted")


def test_a_page_with_a_dead_job_is_answered_by_a_read_only_replica(scene: Scene) -> None:
    with Node() as replica:
        replica.ask("REPLICAOF", "127.0.0.1", scene.node.port)
        wait_until(lambda: replica.ask("DBSIZE") == scene.node.ask("DBSIZE"), 30, "the replica has all keys")
        store, web = service_over(replica.url)
        with closing(store):
            assert_pages_have_all(scene, web)


def test_readyz_of_a_read_only_replica_is_200_and_says_so(scene: Scene) -> None:
    with Node() as replica:
        store, web = service_over(replica.url)
        with closing(store):
            assert web.get("/readyz").json == {"success": True}
            replica.ask("REPLICAOF", "127.0.0.1", scene.node.port)
            wait_until(lambda: scene.node.replicas_online() == 1, 30)
            answer = web.get("/readyz")
            assert (answer.status_code, answer.json) == (200, {"success": True, "writes": False})
            replica.ask("REPLICAOF", "NO", "ONE")
            assert web.get("/readyz").json == {"success": True}


def test_readyz_writes_nothing(scene: Scene) -> None:
    store, web = service_over(scene.node.url)
    with closing(store), plain_client(scene.node.url) as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        assert web.get("/readyz").json == {"success": True}
        assert {key: client.dump(key) for key in client.scan_iter()} == before
