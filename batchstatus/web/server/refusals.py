"""The server's own error responses, in JSON: to what it cannot parse, and where the application broke."""

import secrets
from typing import NamedTuple

import orjson
from gunicorn.http import errors as http

from batchstatus.web.errors import error_body


class Refusal(NamedTuple):
    """An error response of the server."""

    status: int
    reason: str
    code: str
    message: str

    @property
    def body(self) -> bytes:
        """The response's body; no part of the request is in it."""
        return orjson.dumps(error_body(self.code, self.message))

    @property
    def response(self) -> bytes:
        """The whole response, which says that the connection is closed after it."""
        body = self.body
        head = (
            f"HTTP/1.1 {self.status} {self.reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {secrets.token_hex(8)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body


def _not_http(status: int, reason: str) -> Refusal:
    return Refusal(status, reason, "BAD_REQUEST", "This is not HTTP as this server speaks it.")


BROKEN = Refusal(500, "Internal Server Error", "INTERNAL_ERROR", "Something went wrong on our side.")
"""The answer where an exception left the application, or where gunicorn's settings do not fit the request."""

_REFUSALS: dict[type[Exception], Refusal] = {
    # The parser's exceptions, the subclasses before their base classes.
    http.InvalidResponseHeader: BROKEN,
    http.InvalidResponseHeaderName: BROKEN,
    http.ConfigurationProblem: BROKEN,
    http.ForbiddenProxyRequest: Refusal(403, "Forbidden", "FORBIDDEN", "This address may not send requests here."),
    http.LimitRequestLine: _not_http(414, "URI Too Long"),
    http.ExpectationFailed: _not_http(417, "Expectation Failed"),
    http.LimitRequestHeaders: _not_http(431, "Request Header Fields Too Large"),
    http.UnsupportedTransferCoding: _not_http(501, "Not Implemented"),
    http.ParseException: _not_http(400, "Bad Request"),
}


def refusal_of(exc: BaseException) -> Refusal:
    """Return the answer to a request that raised `exc` in the parser or out of the application."""
    return next((answer for kind, answer in _REFUSALS.items() if isinstance(exc, kind)), BROKEN)
