"""The WSGI entry point: builds the service from the environment. `batchstatus serve` is the usual way."""

from batchstatus.reaper import Reaper
from batchstatus.settings import Settings
from batchstatus.store import JobStore
from batchstatus.web import create_app

_settings = Settings.from_env()
_store = JobStore.open(_settings.redis_url, _settings.store)
Reaper(_store).start()
app = create_app(_store)
