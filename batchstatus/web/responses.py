"""What the service answers with."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
import orjson

Headers = list[tuple[str, str]]

_STATUS_LINES = {int(status): f"{int(status)} {status.phrase}" for status in HTTPStatus}


def _status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"{status} Unknown"


class Response:
    """A status, headers and a body, as the WSGI application that sends them (PEP 3333).

    Flask's own can be changed in many ways until it is sent, and takes seven times as long to make.
    """

    __slots__ = ("_body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: Iterable[bytes] = ()) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer with it."""
        start_response(_status_line(self.status), self.headers)
        return () if environ["REQUEST_METHOD"] == "HEAD" else self._body

    def content(self) -> bytes:
        """Return the body of a response whose body is all there."""
        return b"".join(self._body)

    def as_flask(self, response_class: type[flask.Response]) -> flask.Response:
        """Return the response as Flask's, with the very same status line, headers and body."""
        response = response_class(self._body, status=_status_line(self.status), headers=self.headers)
        if not any(name == "Content-Type" for name, _ in self.headers):
            del response.headers["Content-Type"]  # werkzeug would say text/html of a 304
        return response


class Streamed(Response):
    """A response whose body comes bit by bit. Under Flask its context lasts as long, for `authorize`."""

    __slots__ = ()

    def as_flask(self, response_class: type[flask.Response]) -> flask.Response:
        """Return the response as Flask's."""
        if flask.request.method != "HEAD":
            self._body = flask.stream_with_context(iter(self._body))
        return super().as_flask(response_class)


def whole_response(
    body: bytes, media_type: str, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """A response whose body is all there."""
    return Response(status, [("Content-Type", media_type), ("Content-Length", str(len(body))), *headers], (body,))


def json_response(body: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """A response with `body` as JSON."""
    return whole_response(encode(body), "application/json", status, headers)


def encode(body: Any) -> bytes:
    """Returns a body as JSON, in one line."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        # What a job's metadata may hold and orjson cannot write: integers of more than 64 bits, half a surrogate
        # pair, more than 254 levels.
        return json.dumps(body, separators=(",", ":")).encode()
