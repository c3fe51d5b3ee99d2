"""Failed and skipped rows: their shape for each kind, and how they are stored and read.

A row is a dict. What names it depends on the kind: `externalId` for transactions, `rowKey` for user
events, `taxId` and `type` for entities. Beside that it has a `code` and, if it failed, a `message`.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from batchstatus import values
from batchstatus.errors import CODE, InvalidValue
from batchstatus.model import Kind, Row

MAX_ROW_BYTES = 4 * 1024

Shaped: TypeAlias = dict[str, str | None]
"""A failed or skipped row in its wire shape: all that is to be stored of it, in its order."""

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


def failure(kind: Kind, row: Row) -> Shaped:
    """A failed row in its wire shape. `code` is required; InvalidValue names what is wrong."""
    shaped = _identity(kind, row)
    if kind is Kind.ENTITY_AUTOMATIC:
        shaped["outcome"] = _text(row.get("outcome", FAILED))
    shaped["code"] = _code(row.get("code"))
    shaped["message"] = _text(row.get("message", ""))
    return shaped


def skip(kind: Kind, row: Row) -> Shaped:
    """A skipped row in its wire shape, without a message; `code` defaults to `SKIPPED_DUPLICATE_TAX_ID`."""
    shaped = _identity(kind, row)
    if kind is Kind.ENTITY_AUTOMATIC:
        shaped["outcome"] = _text(row.get("outcome", SKIPPED))
    shaped["code"] = _code(row.get("code", "SKIPPED_DUPLICATE_TAX_ID"))
    return shaped


def encode(shaped: Shaped) -> str:
    """The row as JSON for the store, and safe to send; while it is over 4 KiB, its longest text is cut in half.

    Done for all rows of a report together: an importer that counts a row does not have to wait for it.
    """
    while True:
        # Member by member: the encoder has a short way for a text, and a long one for an object.
        encoded = "{" + ",".join([f'"{name}":{_AS_JSON(value)}' for name, value in shaped.items()]) + "}"
        sent = encoded.encode("utf-8", "replace")  # lone surrogates become `?`
        if len(sent) <= MAX_ROW_BYTES:
            return sent.decode()
        longest = max((name for name, value in shaped.items() if value), key=lambda name: len(shaped[name] or ""))
        text = shaped[longest] or ""
        shaped = {**shaped, longest: text[: len(text) // 2]}


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


def _identity(kind: Kind, row: Row) -> Shaped:
    """The members that name the row; those that it must not have, or lacks, are told."""
    if row.__class__ is not dict and not isinstance(row, Mapping):
        raise InvalidValue(f"a row is a dict, not {type(row).__name__}")
    names = IDENTITY[kind]
    if not row.keys() <= _MEMBERS[kind]:
        unknown = ", ".join(sorted(map(str, row.keys() - _MEMBERS[kind])))
        rest = ", ".join(sorted(_MEMBERS[kind] - {*names}))
        raise InvalidValue(f"a {kind} row has no member {unknown}; it has {', '.join(names)}, {rest}")
    found: Shaped = {}
    for name in names:
        if name not in row:
            missing = ", ".join(each for each in names if each not in row)
            raise InvalidValue(f"a {kind} row needs {missing} (None where the file has none)")
        found[name] = None if row[name] is None else _text(row[name])
    return found


def _text(value: Any) -> str:
    """The value as a text that nobody can change any more, at most 1,000 characters of it."""
    return value if value.__class__ is str and len(value) <= values.MAX_TEXT else str(value)[: values.MAX_TEXT]


def _code(code: Any) -> str:
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise InvalidValue(f"code {code!r} does not match ^{CODE.pattern}$")
    return code
