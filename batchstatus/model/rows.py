"""Failed and skipped rows: how they are checked, stored and read.

A row is a dict. The members that identify it depend on the kind, such as `externalId` for transactions. Every row
has a `code`, a failed row has a `message` too; a row of a kind with skips has an `outcome`.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from batchstatus.model import values
from batchstatus.model.errors import CODE, InvalidValue
from batchstatus.model.job import Row
from batchstatus.model.kinds import JobKind

MAX_ROW_BYTES = 4 * 1024

Shaped: TypeAlias = dict[str, str | None]
"""A failed or skipped row in its wire format: the members to store, in order."""

FAILED = "failed"
"""The `outcome` of a failed row whose worker says nothing else."""

_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode  # built once: json.dumps builds one per call

UNSPECIFIED_CODE = "PROCESSING_ERROR"
"""The code given to a row that was stored without one."""


class BadCode(InvalidValue):
    """The row's `code` is missing or malformed, and nothing else is known to be wrong with the row."""


def failure(kind: JobKind, row: Row) -> Shaped:
    """Returns a failed row in its wire format. `code` is required. Raises InvalidValue naming the bad member."""
    shaped = _identity(kind, row)
    if kind.skips:
        shaped["outcome"] = _text(row.get("outcome"), FAILED)
    shaped["code"] = _code(row.get("code"))
    shaped["message"] = _text(row.get("message"))
    return shaped


def skip(kind: JobKind, row: Row) -> Shaped:
    """Returns a skipped row in its wire format, without message; `code` defaults to the kind's `skip_code`."""
    shaped = _identity(kind, row)
    if kind.skips:
        shaped["outcome"] = _text(row.get("outcome"), kind.skip_outcome)
    shaped["code"] = _code(row.get("code", kind.skip_code))
    return shaped


def without_code(row: Row) -> Row:
    """Returns the row with UNSPECIFIED_CODE, and what it had for a code before its message."""
    said = [str(row[each]) for each in ("code", "message") if row.get(each)]
    return {**row, "code": UNSPECIFIED_CODE, "message": ": ".join(said)}


def encode(shaped: Shaped) -> str:
    """Returns the row as encodable JSON; while it exceeds 4 KiB, its longest text is cut in half.

    Called for all rows of a report together, so that an importer does not wait for the encoding of each row.
    """
    while True:
        # Member by member, because the encoder has a fast path for a text and none for an object.
        encoded = "{" + ",".join([f'"{name}":{_AS_JSON(value)}' for name, value in shaped.items()]) + "}"
        sent = encoded.encode("utf-8", "replace")  # lone surrogates become `?`
        if len(sent) <= MAX_ROW_BYTES:
            return sent.decode()
        longest = max((name for name, value in shaped.items() if value), key=lambda name: len(shaped[name] or ""))
        text = shaped[longest] or ""
        shaped = {**shaped, longest: text[: len(text) // 2]}


def decode(kind: JobKind, stored: bytes, *, skipped: bool = False) -> Row:
    """Returns a stored row in its wire format. Free text, as older workers wrote it, becomes the message."""
    try:
        row = json.loads(stored)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        row = {"message": stored.decode("utf-8", "replace")}
    for name in kind.row:
        row.setdefault(name, None)
    if kind.skips:
        row.setdefault("outcome", kind.skip_outcome if skipped else FAILED)
    if not skipped and row.get("message") is None:
        row["message"] = ""
    if not row.get("code"):
        row["code"] = UNSPECIFIED_CODE
    return row


def _identity(kind: JobKind, row: Row) -> Shaped:
    """Returns the members that identify the row. Raises InvalidValue for unknown and missing members."""
    if row.__class__ is not dict and not isinstance(row, Mapping):
        raise InvalidValue(f"a row is a dict, not {type(row).__name__}")
    names = kind.row
    if not row.keys() <= kind.members:
        unknown = ", ".join(sorted(map(str, row.keys() - kind.members)))
        rest = ", ".join(sorted(kind.members - {*names}))
        raise InvalidValue(f"a {kind.name} row has no member {unknown}; it has {', '.join(names)}, {rest}")
    found: Shaped = {}
    for name in names:
        if name not in row:
            missing = ", ".join(each for each in names if each not in row)
            raise InvalidValue(f"a {kind.name} row needs {missing} (None where the file has none)")
        found[name] = None if row[name] is None else _text(row[name])
    return found


def _text(value: Any, default: str = "") -> str:
    """Returns the value as an immutable text, cut at 1,000 characters; the default in place of None."""
    if value is None:
        return default
    return value if value.__class__ is str and len(value) <= values.MAX_TEXT else str(value)[: values.MAX_TEXT]


def _code(code: Any) -> str:
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise BadCode(f"code {code!r:.80} does not match ^{CODE.pattern}$")
    return code
