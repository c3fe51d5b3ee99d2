"""JSON responses."""

import json
from typing import Any

import orjson
from flask import Response


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with `body` as JSON."""
    return Response(_encode(body), status, headers, content_type="application/json")


def _encode(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        # What a job's metadata may hold and orjson cannot write: integers of more than 64 bits, half a surrogate
        # pair, more than 254 levels.
        return json.dumps(body, separators=(",", ":")).encode()
