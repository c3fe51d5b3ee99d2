"""The connection pool under gevent, where a timeout may break off any wait."""

import subprocess
import sys

import pytest

PATIENCE_RUNS_OUT = """
from batchstatus.transport.urls import open_client  # and with it redis-py, before gevent patches

from gevent import monkey

monkey.patch_all(ssl=False)  # no TLS here, and it warns of ssl being imported already

import random
import sys
from queue import Empty

import gevent

from batchstatus.settings import StoreSettings

slots = open_client(sys.argv[1], StoreSettings(max_connections=4)).connection_pool.pool

def call(number):
    chance = random.Random(number)
    for _ in range(50):
        try:
            with gevent.Timeout(chance.random() * 0.004):
                slot = slots.get(timeout=0.003)
                try:
                    gevent.sleep(chance.random() * 0.001)
                finally:
                    slots.put_nowait(slot)
        except (gevent.Timeout, Empty):
            continue

callers = gevent.joinall([gevent.spawn(call, number) for number in range(300)], timeout=30)
print([str(caller.exception) for caller in callers if caller.exception], slots.qsize())
"""


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/mymaster"])
def test_timeouts_while_waiting_for_a_connection_neither_break_the_pool_nor_leak_one(url: str) -> None:
    script = [sys.executable, "-c", PATIENCE_RUNS_OUT, url]
    done = subprocess.run(script, timeout=60, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[] 4\n", "")
