"""A process of the service that ends."""

import os
import subprocess
import sys

PROGRAM = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))  # registered first, so it runs last
from batchstatus.settings import Settings
from batchstatus.web.metrics import remove_shared
from batchstatus.web.server.serve import Server
Server(Settings.from_env()).load()
assert gc.get_freeze_count() > 0
remove_shared()  # as gunicorn's master does
"""


def test_no_object_is_left_frozen_at_the_exit_where_a_log_handler_would_outlive_gevent() -> None:
    environ = {**os.environ, "BATCHSTATUS_REDIS_URL": "redis://127.0.0.1:1/0"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("0\n", "", 0)
