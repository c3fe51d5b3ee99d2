"""SIGTERM under load: whoever was let in is answered."""

import http.client
import os
import signal
import threading
from urllib.parse import urlsplit

import pytest

from batchstatus import connect
from batchstatus.embedded import EmbeddedServer
from tests.support.callers import poll
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG = "org_acme"
CALLERS = 16


@pytest.mark.slow
def test_sigterm_under_load_loses_no_request_that_was_sent_on_an_open_connection() -> None:
    with EmbeddedServer() as server, LiveService(server.url) as service:
        # Given callers that poll without a pause, each on a connection of its own
        store = connect(server.url)
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"
        statuses: list[int] = []
        lost: list[BaseException] = []

        def call() -> None:
            connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
            connection.connect()
            try:
                # http.client opens a new connection after `Connection: close`; that one may be refused.
                while connection.sock is not None:
                    statuses.append(poll(connection, path, key).status)
            except (OSError, http.client.HTTPException) as error:
                lost.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(statuses) > 10 * CALLERS)

        # When the service is told to stop
        os.kill(service.pid, signal.SIGTERM)
        for thread in threads:
            thread.join(30)

        # Then every request got its answer, the last one with `Connection: close`
        assert lost == []
        assert set(statuses) == {200}
        store.close()
