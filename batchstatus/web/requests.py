"""Reads request bodies and queries, and names every field that is wrong."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flask import Request
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from batchstatus.model.job import MAX_PAGE
from batchstatus.schemas.fields import Commas
from batchstatus.web import runtime
from batchstatus.web.call import Call
from batchstatus.web.errors import ApiError, bad_request, invalid_request

MAX_BODY_BYTES = 64 * 1024

BODY_S = 10.0
"""How long a caller may take to send a body."""

MOST_FIELDS = 32
"""More than any request has; each unknown one would be named, and thousands take a while."""

MOST_VALUES = MOST_FIELDS + MAX_PAGE
"""More than the values of any query: a list may have its name before each value."""


def json_body(call: Call, schema: Schema, most_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the request's JSON object as `schema` loads it. 400 if it is none, or one of its members is wrong.

    413 for a body of more than `most_bytes`.
    """
    try:
        body = json.loads(_body(call.request, most_bytes).decode(), object_pairs_hook=_once_each)
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
    if call.request.query_string.count(b"&") >= MOST_VALUES:
        raise invalid_request({"query": f"more than {MOST_VALUES} values"})
    if len(call.request.args) > MOST_FIELDS:
        raise invalid_request({"query": f"more than {MOST_FIELDS} parameters"})
    return call.request.args


def query(call: Call, schema: Schema) -> dict[str, Any]:
    """Return the request's query as `schema` loads it. 400 if a parameter is wrong, unknown, or there twice.

    A list may be there several times: `kind=a&kind=b` is `kind=a,b`, as both are sent by generated clients.
    """
    given = parameters(call)
    lists = {name for name, field in schema.fields.items() if isinstance(field, Commas)}
    joined = {name: ",".join(given.getlist(name)) if name in lists else given[name] for name in given}
    twice = [name for name, values in given.lists() if len(values) > 1 and name not in lists]
    return _load(schema, joined, dict.fromkeys(twice, "there more than once"))


def _load(schema: Schema, given: dict[str, Any], wrong: dict[str, str]) -> dict[str, Any]:
    """What is given as `schema` loads it; 400 if one of its members is wrong, or is known to be."""
    loaded: dict[str, Any] = {}
    try:
        loaded = schema.load(given)
    except ValidationError as error:
        wrong = dict(_named(cast("dict[str, Any]", error.messages))) | wrong
    if wrong:
        raise invalid_request(wrong)
    return loaded


def _named(messages: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield each bad member's name, such as `jobFailure.code`, and what is wrong with it."""
    for name, said in messages.items():
        if isinstance(said, dict):
            yield from _named(said, f"{above}{name}.")
        else:
            yield f"{above}{name}", " ".join(map(str, said))


def _body(request: Request, most_bytes: int) -> bytes:
    """Return the whole body. The caller has BODY_S to send it, where the server can interrupt a request."""
    most = min(most_bytes, request.max_content_length or most_bytes)
    request.max_content_length = most
    try:
        with runtime.in_use().time_limit(BODY_S, bad_request("The body took too long.", 408)):
            body = request.get_data()  # from the cache, if somebody before us has read it
            # werkzeug cuts a body in chunks at the limit, without a word.
            full = len(body) == most and request.content_length is None
            cut = full and request.environ["wsgi.input"].read(1) != b""
    except RequestEntityTooLarge:
        raise _too_large(most_bytes) from None
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for a body that breaks off
        raise bad_request("The body ended too soon, or its chunks are broken.") from error
    if cut or len(body) > most:
        raise _too_large(most_bytes)
    if len(body) < (request.content_length or 0):
        raise bad_request("The body ended too soon.")
    return body


def _too_large(most_bytes: int) -> ApiError:
    return ApiError(413, "PAYLOAD_TOO_LARGE", f"The request body is larger than {most_bytes // 1024} KiB.")


class _Duplicate(ValueError):
    """A member that stands in an object twice: which of the two would count is anyone's guess (RFC 8259 §4)."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Duplicate("has a member twice")
    return found
