"""Logs as JSON, one object a line, on stderr: for each request one, for all else what a logger says."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from batchstatus.apikeys import KEY
from batchstatus.tickets import TICKET
from batchstatus.web.call import Call

_requests = logging.getLogger("batchstatus.requests")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what was given as `extra={"fields": {…}}` becomes members of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            text = orjson.dumps(line, default=str).decode()
        except TypeError:  # it is stricter: no lone surrogates, no integers beyond 64 bits
            text = json.dumps(line, default=str)
        # Wherever a caller has put it: in the path, as its request's id.
        return TICKET.sub("bst_…", KEY.sub("bsk_…", text))


def configure(level: str) -> None:
    """Send everything from `level` up to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def log_request(call: Call, status: int, seconds: float) -> None:
    """Log one line for a request: who asked for what and what came of it, never with which key."""
    if _requests.isEnabledFor(logging.INFO):
        # As `_requests.info` does, but for looking up who has called it.
        make = logging.getLogRecordFactory()
        record = make(_requests.name, logging.INFO, __file__, 0, "request", (), None)
        record.fields = {
            "requestId": call.id,
            "method": call.request.method,
            "route": call.route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "org": call.org,
            "job": call.job_id,
        }
        _requests.handle(record)
