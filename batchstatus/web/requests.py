"""Reads request bodies and queries, and names every field that is wrong."""

import json
from typing import Any, cast

from flask import Request
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from batchstatus.web import runtime
from batchstatus.web.call import Call
from batchstatus.web.errors import bad_request, invalid_request

MAX_BODY_BYTES = 64 * 1024

BODY_S = 10.0
"""How long a caller may take to send a body."""

MOST_FIELDS = 32
"""More than any request has; each unknown one would be named, and thousands take a while."""


def json_body(call: Call, schema: Schema) -> dict[str, Any]:
    """Return the request's JSON object as `schema` loads it. 400 if it is none, or one of its members is wrong."""
    try:
        body = json.loads(_body(call.request).decode(), object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _Duplicate) else "not JSON"
        raise invalid_request({"body": reason}) from None
    if not isinstance(body, dict):
        raise invalid_request({"body": "not a JSON object"})
    if len(body) > MOST_FIELDS:
        raise invalid_request({"body": f"more than {MOST_FIELDS} members"})
    return _load(schema, body, {})


def parameters(call: Call) -> "MultiDict[str, str]":
    """Return the parameters of the request's query. 400 if there are too many."""
    if call.request.query_string.count(b"&") >= MOST_FIELDS:
        raise invalid_request({"query": f"more than {MOST_FIELDS} parameters"})
    return call.request.args


def query(call: Call, schema: Schema) -> dict[str, Any]:
    """Return the request's query as `schema` loads it. 400 if a parameter is wrong, unknown, or there twice."""
    given = parameters(call)
    twice = [name for name, values in given.lists() if len(values) > 1]
    return _load(schema, given.to_dict(), dict.fromkeys(twice, "there more than once"))


def _load(schema: Schema, given: dict[str, Any], wrong: dict[str, str]) -> dict[str, Any]:
    """What is given as `schema` loads it; 400 if one of its members is wrong, or is known to be."""
    loaded: dict[str, Any] = {}
    try:
        loaded = schema.load(given)
    except ValidationError as error:
        messages = cast("dict[str, list[str]]", error.messages)
        wrong = {name: " ".join(map(str, said)) for name, said in messages.items()} | wrong
    if wrong:
        raise invalid_request(wrong)
    return loaded


def _body(request: Request) -> bytes:
    """Return the whole body. The caller has BODY_S to send it, where the server can interrupt a request."""
    most = min(MAX_BODY_BYTES, request.max_content_length or MAX_BODY_BYTES)
    request.max_content_length = most
    try:
        with runtime.in_use().time_limit(BODY_S, bad_request("The body took too long.", 408)):
            body = request.get_data()  # from the cache, if somebody before us has read it
            # werkzeug cuts a body in chunks at the limit, without a word.
            full = len(body) == most and request.content_length is None
            cut = full and request.environ["wsgi.input"].read(1) != b""
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for a body that breaks off
        raise bad_request("The body ended too soon, or its chunks are broken.") from error
    if cut or len(body) > most:
        raise RequestEntityTooLarge
    if len(body) < (request.content_length or 0):
        raise bad_request("The body ended too soon.")
    return body


class _Duplicate(ValueError):
    """A member that stands in an object twice: which of the two would count is anyone's guess (RFC 8259 §4)."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Duplicate("has a member twice")
    return found
