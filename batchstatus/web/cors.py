"""Cross-origin requests of browsers (the fetch standard's CORS protocol), for origins that the operator names.

Never with credentials: a page shows a ticket or a key, so cookies decide nothing.
"""

from collections.abc import Collection

from flask import Request

from batchstatus.web.responses import Headers, Response

_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, HEAD, POST"),
    (
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, If-None-Match, Last-Event-ID, Prefer, X-Request-Id",
    ),
    ("Access-Control-Max-Age", "3600"),
]
_EXPOSED = (
    *("Content-Disposition", "Date", "ETag", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate"),
    "X-Request-Id",
)


class Cors:
    """What the pages of these origins may ask and read. Without origins nothing is added to an answer."""

    def __init__(self, origins: Collection[str] = ()) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: Request) -> Response | None:
        """Return the answer to a preflight of one of the origins; None for any other request."""
        if request.method != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in request.environ:
            return None
        return Response(204, [*_PREFLIGHT]) if self._allowed(request) else None

    def headers(self, request: Request) -> Headers:
        """Return the headers that an answer has beside its own."""
        if not self._origins:
            return []
        varies = [] if "*" in self._origins else [("Vary", "Origin")]
        allowed = self._allowed(request)
        if allowed is None:
            return varies
        exposed = ("Access-Control-Expose-Headers", ", ".join(_EXPOSED))
        return [("Access-Control-Allow-Origin", allowed), exposed, *varies]

    def _allowed(self, request: Request) -> str | None:
        origin: str | None = request.environ.get("HTTP_ORIGIN")
        if origin is None or not self._origins:
            return None
        return "*" if "*" in self._origins else origin if origin in self._origins else None
