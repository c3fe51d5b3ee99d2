"""JSON responses."""

import json
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import orjson
from flask import Response

Headers = list[tuple[str, str]]


class WholeResponse(Response):
    """A response that is all there when it is made, so that nothing is left to do when it is sent."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer with it; called by Flask."""
        start_response(self.status, self.headers.to_wsgi_list())
        body: Iterable[bytes] = () if environ["REQUEST_METHOD"] == "HEAD" else self.response  # type: ignore[assignment]
        return body


def json_response(body: Any, status: int = 200, headers: Headers | None = None) -> Response:
    """A response with `body` as JSON."""
    encoded = _encode(body)
    own = [("Content-Type", "application/json"), ("Content-Length", str(len(encoded)))]
    return WholeResponse(encoded, status, [*own, *(headers or ())])


def _encode(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        # What a job's metadata may hold and orjson cannot write: integers of more than 64 bits, half a surrogate
        # pair, more than 254 levels.
        return json.dumps(body, separators=(",", ":")).encode()
