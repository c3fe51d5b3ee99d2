"""A server that keeps forgetting its scripts while every operation is tried."""

import threading
from contextlib import ExitStack

import redis

import batchstatus
from batchstatus.embedded import EmbeddedServer
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.everything import do_everything
from tests.support.importers import Importer
from tests.support.sdk import ORG, UNHURRIED, plain_client

PAUSE_S = 0.01
ENOUGH = 10
"""More often than this the scripts are forgotten."""


class Forgetting(threading.Thread):
    """Makes the server forget its scripts in a loop, as a context manager."""

    def __init__(self, client: "redis.Redis") -> None:
        super().__init__()
        self.times = 0
        self._client = client
        self._over = threading.Event()

    def __enter__(self) -> "Forgetting":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Flush the scripts until told to stop."""
        while not self._over.wait(PAUSE_S):
            self._client.script_flush()
            self.times += 1


def scripts_forgotten() -> Finding:
    """Try every operation while scripts are forgotten: they must be sent again unnoticed."""
    with ExitStack() as running:
        url = running.enter_context(EmbeddedServer()).url
        client = running.enter_context(plain_client(url))
        store = batchstatus.connect(url, **UNHURRIED)
        running.callback(store.close)
        job_id = store.create(ORG, "transaction_batch").job_id
        importer = running.enter_context(Importer(import_until_told, url, job_id, UNHURRIED))
        assert importer.told() == "running"
        with Forgetting(client) as forgetting:
            while forgetting.times <= ENOUGH:
                do_everything(url, **UNHURRIED)
        return Finding(
            fault="the store forgets its scripts",
            tried=forgetting.times,
            lost=tuple(trouble_at_the_end(store, job_id, importer)),
            acknowledged=store.get(ORG, job_id).rev,
        )
