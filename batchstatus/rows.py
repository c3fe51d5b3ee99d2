"""Failed and skipped rows: their shape for each kind, and how they are stored and read.

A row is a dict. What names it depends on the kind: `externalId` for transactions, `rowKey` for user
events, `taxId` and `type` for entities. Beside that it has a `code` and, if it failed, a `message`.
"""

import json
from collections.abc import Mapping
from typing import Any

from batchstatus import values
from batchstatus.errors import CODE, InvalidValue
from batchstatus.model import Kind, Row

MAX_ROW_BYTES = 4 * 1024

IDENTITY: Mapping[Kind, tuple[str, ...]] = {
    Kind.ENTITY_AUTOMATIC: ("taxId", "type"),
    Kind.TRANSACTION_BATCH: ("externalId",),
    Kind.USER_EVENT_BATCH: ("rowKey",),
}
"""The members that name a row, per kind."""

_MEMBERS: Mapping[Kind, frozenset[str]] = {
    kind: frozenset({*names, "code", "message"} | ({"outcome"} if kind is Kind.ENTITY_AUTOMATIC else set()))
    for kind, names in IDENTITY.items()
}

FAILED, SKIPPED = "failed", "skipped_existing"
"""The `outcome` of an entity, unless the row says another."""

_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode  # made once: dumps makes one each time

UNSPECIFIED_CODE = "PROCESSING_ERROR"
"""The code of a row that was stored without one."""


def failure(kind: Kind, row: Row) -> str:
    """A failed row as JSON for the store. `code` is required; InvalidValue names what is wrong."""
    shaped = _identity(kind, row)
    if kind is Kind.ENTITY_AUTOMATIC:
        shaped["outcome"] = values.text(row.get("outcome", FAILED))
    shaped["code"] = _code(row.get("code"))
    shaped["message"] = values.text(row.get("message", ""))
    return _encode(shaped)


def skip(kind: Kind, row: Row) -> str:
    """A skipped row as JSON for the store, without a message; `code` defaults to `SKIPPED_DUPLICATE_TAX_ID`."""
    shaped = _identity(kind, row)
    if kind is Kind.ENTITY_AUTOMATIC:
        shaped["outcome"] = values.text(row.get("outcome", SKIPPED))
    shaped["code"] = _code(row.get("code", "SKIPPED_DUPLICATE_TAX_ID"))
    return _encode(shaped)


def decode(kind: Kind, stored: bytes, outcome: str = FAILED) -> Row:
    """A stored row in its wire shape. Free text, as older workers wrote it, becomes the row's message."""
    try:
        row = json.loads(stored)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        row = {"message": stored.decode("utf-8", "replace")}
    for name in IDENTITY[kind]:
        row.setdefault(name, None)
    if kind is Kind.ENTITY_AUTOMATIC:
        row.setdefault("outcome", outcome)
    if outcome == FAILED and row.get("message") is None:
        row["message"] = ""
    if not row.get("code"):
        row["code"] = UNSPECIFIED_CODE
    return row


def _identity(kind: Kind, row: Row) -> dict[str, Any]:
    """The members that name the row; those that it has and must not have, or lacks, are told."""
    if row.__class__ is not dict and not isinstance(row, Mapping):
        raise InvalidValue(f"a row is a dict, not {type(row).__name__}")
    names = IDENTITY[kind]
    if not row.keys() <= _MEMBERS[kind]:
        unknown = ", ".join(sorted(map(str, row.keys() - _MEMBERS[kind])))
        raise InvalidValue(f"a {kind} row has no member {unknown}; it has {', '.join(names)}")
    if missing := [name for name in names if name not in row]:
        raise InvalidValue(f"a {kind} row needs {', '.join(missing)} (None where the file has none)")
    return {name: None if row[name] is None else values.text(row[name]) for name in names}


def _code(code: Any) -> str:
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise InvalidValue(f"code {code!r} does not match ^{CODE.pattern}$")
    return code


def _encode(row: dict[str, Any]) -> str:
    """The row as JSON; while it is over 4 KiB, its longest text is cut in half."""
    while True:
        # Member by member: the encoder has a short way for a text, and a long one for an object.
        encoded = "{" + ",".join([f'"{name}":{_AS_JSON(value)}' for name, value in row.items()]) + "}"
        if len(encoded) * 4 <= MAX_ROW_BYTES or len(encoded.encode()) <= MAX_ROW_BYTES:
            return encoded
        longest = max((name for name, value in row.items() if value), key=lambda name: len(row[name]))
        row[longest] = row[longest][: len(row[longest]) // 2]
