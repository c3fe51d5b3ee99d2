"""What an orchestrator asks: is the process up, can it do its work, and how much has it done."""

from flask import Blueprint
from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus.web.context import ApiRequest
from batchstatus.web.responses import Response, json_response, whole_response

blueprint = Blueprint("ops", __name__)


@blueprint.get("/livez")
def livez(_: ApiRequest) -> Response:
    """The process is up, whatever the store does."""
    return json_response({"success": True})


@blueprint.get("/readyz")
def readyz(request: ApiRequest) -> Response:
    """The store answers; otherwise 503."""
    request.store.ping()
    return json_response({"success": True})


@blueprint.get("/metrics")
def metrics(request: ApiRequest) -> Response:
    """All metrics of this replica, for Prometheus."""
    return whole_response(request.parts.metrics.exposition(), CONTENT_TYPE_LATEST)
