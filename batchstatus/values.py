"""Validation of arguments: each function returns the value in stored form, or raises InvalidValue."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from batchstatus.errors import InvalidValue
from batchstatus.model import CONTROL_FLAGS, MAX_COUNT, Action, Kind

MAX_JSON_BYTES = 16 * 1024
MAX_JSON_DEPTH = 32
MAX_CHECKPOINT_BYTES = 4 * 1024
MAX_TEXT = 1_000

_E = TypeVar("_E", bound=StrEnum)
_MILLISECOND = timedelta(milliseconds=1)


def kind(value: str) -> Kind:
    """Returns the kind with this name; a `Kind` is returned as it is."""
    try:
        return Kind(value)
    except ValueError:
        raise InvalidValue(f"kind {value!r} is not one of {', '.join(Kind)}") from None


def action(value: str) -> Action:
    """Returns the action with this name; an `Action` is returned as it is."""
    try:
        return Action(value)
    except ValueError:
        raise InvalidValue(f"action {value!r} is not one of {', '.join(Action)}") from None


def members(name: str, enum: type[_E], given: Iterable[str] | None) -> tuple[_E, ...]:
    """Returns the given members of an enum without duplicates, all members for None; accepts members and names."""
    if isinstance(given, str):
        given = (given,)
    try:
        return tuple(enum) if given is None else tuple(dict.fromkeys(enum(each) for each in given))
    except ValueError:
        raise InvalidValue(f"{name} {given!r:.200} has a member that is not one of {', '.join(enum)}") from None


def time_as_ms(name: str, value: datetime | None, *, up: bool = False) -> int | None:
    """Returns an aware datetime as milliseconds since the epoch, rounded down unless `up`; None for None."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidValue(f"{name} {value!r} is not an aware datetime")
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return -(-since // _MILLISECOND) if up else since // _MILLISECOND


def count(name: str, value: int, least: int = 0, most: int = MAX_COUNT) -> int:
    """Returns `value` if it is an integer from `least` to `most`; `name` is the argument's name."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = "2^53-1" if most == MAX_COUNT else most
        raise InvalidValue(f"{name} {value!r} is not an integer from {least} to {limit}")
    return value


def seconds_as_ms(name: str, value: float) -> int:
    """Returns a duration in seconds, fractions allowed, as whole milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT / 1000:
        raise InvalidValue(f"{name} {value!r} is not a number of seconds, 0 or more")
    return round(value * 1000)


def text(value: object) -> str:
    """Returns `str(value)`, cut at 1,000 characters and encodable: lone surrogates become `?`."""
    return str(value)[:MAX_TEXT].encode("utf-8", "replace").decode()


def metadata(value: Mapping[str, Any] | None) -> str:
    """Returns a job's metadata as JSON: an object of at most 16 KiB and 32 levels, without reserved keys."""
    given = {} if value is None else value
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise InvalidValue("metadata is not a mapping with text keys")
    if reserved := sorted(given.keys() & set(CONTROL_FLAGS)):
        raise InvalidValue(f"metadata sets {', '.join(reserved)}, which only control may set")
    return as_json("metadata", dict(given), MAX_JSON_BYTES)


def checkpoint(value: Any) -> str:
    """Returns a checkpoint (a row number, an offset, a cursor) as JSON of at most 4 KiB."""
    return as_json("checkpoint", value, MAX_CHECKPOINT_BYTES)


def as_json(name: str, value: Any, max_bytes: int) -> str:
    """Returns `value` as JSON (RFC 8259: no NaN) of at most `max_bytes` in UTF-8 and 32 levels."""
    try:
        encoded = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(encoded.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"{name} cannot be written as JSON: {error}") from None
    if size > max_bytes:
        raise InvalidValue(f"{name} is {size:,} bytes as JSON; the limit is {max_bytes:,}")
    if _deeper_than(MAX_JSON_DEPTH, value):
        raise InvalidValue(f"{name} is nested deeper than {MAX_JSON_DEPTH} levels")
    return encoded


def digest(*content: Any) -> str:
    """Returns a fingerprint of the arguments that a job was created with; the order of keys does not matter."""
    # Through JSON first, which turns every key into text: keys of different types cannot be sorted.
    stored = json.loads(json.dumps(content))
    canonical = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _deeper_than(levels: int, value: Any) -> bool:
    """Returns True if objects and arrays are nested deeper than `levels`; no recursion, so any depth is safe."""
    layer = [value]
    for _ in range(levels + 1):
        containers = [each for each in layer if isinstance(each, Mapping | list | tuple)]
        layer = [inner for each in containers for inner in (each.values() if isinstance(each, Mapping) else each)]
        if not containers:
            return False
    return True
