"""The WSGI entry point: the service as the environment describes it. `batchstatus serve` is the usual way."""

from batchstatus.settings import Settings
from batchstatus.web import open_service

app = open_service(Settings.from_env())
