"""All tests. `BATCHSTATUS_TEST_SERVER=/usr/bin/redis-server` chooses the server that they run on."""

import os

from batchstatus.embedded import server

if chosen := os.environ.get("BATCHSTATUS_TEST_SERVER"):
    server.server_binary = lambda: chosen
