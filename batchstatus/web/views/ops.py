"""What an orchestrator asks: is the process up, can it do its work, and how much has it done."""

from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus.web.call import Call
from batchstatus.web.responses import Response, json_response, whole_response
from batchstatus.web.routing import Route


def livez(_: Call) -> Response:
    """The process is up, whatever the store does."""
    return json_response({"success": True})


def readyz(call: Call) -> Response:
    """The store answers; otherwise 503."""
    with call.store as store:
        store.ping()
    return json_response({"success": True})


def metrics(call: Call) -> Response:
    """All metrics of this replica, for Prometheus."""
    return whole_response(call.parts.metrics.exposition(), CONTENT_TYPE_LATEST)


ROUTES = (
    Route("/livez", "livez", livez),
    Route("/readyz", "readyz", readyz),
    Route("/metrics", "metrics", metrics),
)
