"""What an orchestrator asks: is the process up, can it do its work, and how much has it done."""

from contextlib import suppress

from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus.model.errors import JobCorrupt, StoreRefused, StoreUnavailable
from batchstatus.running import Running
from batchstatus.store import JobStore
from batchstatus.web.call import Call
from batchstatus.web.responses import Response, json_response, whole_response
from batchstatus.web.routing import Route


def livez(_: Call) -> Response:
    """The process is up, whatever the store does."""
    return json_response({"success": True})


def readyz(call: Call) -> Response:
    """The store answers; otherwise 503. A store that is read-only is ready for polls, and says so."""
    with call.store as store:
        store.ping()
        writes = store.connection.has_many_servers() or _takes_writes(store)
    return json_response({"success": True} if writes else {"success": True, "writes": False})


def _takes_writes(store: JobStore) -> bool:
    """Return True unless the store refuses even a write that changes nothing."""
    try:
        store.connection.command("PERSIST", store.connection.keys.leases(0))
    except StoreRefused:
        return False
    return True


def metrics(call: Call) -> Response:
    """All metrics of this replica, for Prometheus, and those of the whole store unless it is away."""
    measured = None
    if not call.parts.breaker.is_open:
        with suppress(StoreUnavailable, JobCorrupt):  # past `call.store`: no caller has been let down
            measured = Running(call.parts.store.connection).measured()
    return whole_response(call.parts.metrics.exposition(measured), CONTENT_TYPE_LATEST)


ROUTES = (
    Route("/livez", "livez", livez),
    Route("/readyz", "readyz", readyz),
    Route("/metrics", "metrics", metrics),
)
