"""What an orchestrator asks: is the process up, can it do its work, and how much has it done."""

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus.web.context import current_metrics, current_store
from batchstatus.web.responses import json_response

blueprint = Blueprint("ops", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    """The process is up, whatever the store does."""
    return json_response({"success": True})


@blueprint.get("/readyz")
def readyz() -> Response:
    """The store answers; otherwise 503."""
    current_store().ping()
    return json_response({"success": True})


@blueprint.get("/metrics")
def metrics() -> Response:
    """All metrics of this replica, for Prometheus."""
    return Response(current_metrics().exposition(), content_type=CONTENT_TYPE_LATEST)
