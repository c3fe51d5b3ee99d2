"""A store that hangs: the first polls wait for it, up to the bound; the others hear at once."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from batchstatus import connect
from batchstatus.embedded import EmbeddedServer
from tests.support.callers import poll, poll_at_once
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG = "org_acme"


@pytest.mark.slow
def test_once_the_breaker_is_open_polls_are_refused_at_once_until_the_store_is_back() -> None:
    with EmbeddedServer() as server, LiveService(server.url, BATCHSTATUS_WORKERS="1") as service:
        # Given a job that is polled, on a store that then hangs
        store = connect(server.url)
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"
        assert {answer.status for answer in poll_at_once(service.url, path, key, 4)} == {200}
        server.pause()

        # When the first callers have waited for it in vain
        first = poll_at_once(service.url, path, key, 10)
        assert {answer.status for answer in first} == {503}
        wait_until(lambda: service.metric("batchstatus_breaker_open") == 1)

        # Then everyone else hears at once, whatever they ask of the store
        connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
        later = [poll(connection, path, key) for _ in range(300)]
        assert {answer.status for answer in later} == {503}
        assert sorted(answer.seconds for answer in later)[297] < 0.3
        assert json.loads(later[0].body)["error"]["code"] == "STORE_UNAVAILABLE"
        assert not service.answers("/readyz")
        assert service.answers("/livez")

        # And when the store is back, so is the service
        server.resume()
        wait_until(lambda: poll(connection, path, key).status == 200, timeout_s=2)
        assert service.metric("batchstatus_breaker_open") == 0
        connection.close()
        store.close()
