"""Validation of arguments: each function returns the value in stored form, or raises InvalidValue."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import index
from typing import Any, TypeVar

from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import CONTROL_FLAGS, MAX_COUNT, Action

MAX_JSON_BYTES = 16 * 1024
MAX_JSON_DEPTH = 32
MAX_CHECKPOINT_BYTES = 4 * 1024
MAX_TEXT = 1_000

LEAST_KEY = 32
"""The least characters of a key from which secrets are derived."""

MOST_ROW_MEMBERS = 16
"""The most members that name a row."""

PERMISSION = re.compile(r"[A-Za-z0-9_.-]{1,64}:[A-Za-z0-9_.-]{1,64}")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""

_PATH = re.compile(r"[a-z][a-z0-9-]{1,63}")
_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_HEADER = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,64}")
_OUR_PATHS = frozenset({"jobs", "events", "tickets", "keys", "kinds", "webhooks"})
_OUR_PERMISSIONS = frozenset({"jobs:run"})

_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_LEFT_OUT = (("http", "80"), ("https", "443"))
"""Default ports, which browsers leave out of an origin."""

_S = TypeVar("_S", bound=str)
_MILLISECOND = timedelta(milliseconds=1)


def action(value: str) -> Action:
    """Returns the action with this name; an `Action` is returned as it is."""
    try:
        return Action(value)
    except ValueError:
        raise InvalidValue(f"action {value!r} is not one of {', '.join(Action)}") from None


def members(name: str, known: Iterable[_S], given: Iterable[str] | None) -> tuple[_S, ...]:
    """Returns those of the known words that are given, without duplicates; all of them for None."""
    words = {str(each): each for each in known}
    if isinstance(given, str):
        given = (given,)
    try:
        return tuple(words.values()) if given is None else tuple(dict.fromkeys(words[each] for each in given))
    except (LookupError, TypeError):
        raise InvalidValue(f"{name} {given!r:.200} has a member that is not one of {', '.join(words)}") from None


def time_as_ms(name: str, value: datetime | None, *, up: bool = False) -> int | None:
    """Returns an aware datetime as milliseconds since the epoch, rounded down unless `up`; None for None."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidValue(f"{name} {value!r} is not an aware datetime")
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return -(-since // _MILLISECOND) if up else since // _MILLISECOND


def count(name: str, value: int, least: int = 0, most: int = MAX_COUNT) -> int:
    """Returns `value` if it is an integer from `least` to `most`; `name` is the argument's name.

    Integers of other libraries, such as NumPy's, are integers too.
    """
    number = -1 if isinstance(value, bool) or not hasattr(value, "__index__") else index(value)
    if not least <= number <= most:
        limit = "2^53-1" if most == MAX_COUNT else most
        raise InvalidValue(f"{name} {value!r} is not an integer from {least} to {limit}")
    return number


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
    plain = index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value
    return as_json("checkpoint", plain, MAX_CHECKPOINT_BYTES)


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


def job_failure(code: str, message: str, details: Any) -> str:
    """Returns the reason why a job failed as JSON. Details that cannot be stored are left out."""
    failure = {"code": code, "message": text(message)}
    if details is not None:
        try:
            failure["details"] = json.loads(as_json("details", details, MAX_JSON_BYTES))
        except InvalidValue as error:
            # The job must end, and with the given reason; only the details are left out.
            failure["message"] = text(f"{failure['message']} ({error})")
    return json.dumps(failure, ensure_ascii=False, separators=(",", ":"))


def permission(value: object) -> str:
    """Returns the permission of a kind; the service's own ones are refused."""
    if not isinstance(value, str) or not PERMISSION.fullmatch(value):
        raise InvalidValue(f"{value!r:.80} is not resource:action")
    if value in _OUR_PERMISSIONS:
        raise InvalidValue(f"{value!r} is the service's own")
    return value


def path_of_failures(value: object) -> str:
    """Returns the part of a path that tells a kind's failed rows from others'."""
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise InvalidValue(f"{value!r:.80} does not match ^{_PATH.pattern}$")
    if value in _OUR_PATHS:
        raise InvalidValue(f"{value!r} is the service's own")
    return value


def members_naming_a_row(value: object) -> tuple[str, ...]:
    """Returns the members that name a row of a kind, such as `("sku",)`."""
    if (
        isinstance(value, str | bytes)
        or not isinstance(value, Sequence)
        or not 1 <= len(value) <= MOST_ROW_MEMBERS
    ):
        raise InvalidValue(f"{value!r:.80} is not a list of 1 to {MOST_ROW_MEMBERS} members")
    for number, member in enumerate(value):
        if not isinstance(member, str) or not _MEMBER.fullmatch(member):
            raise InvalidValue(f"has {member!r:.80}, which does not match ^{_MEMBER.pattern}$")
        if member in ("code", "message", "outcome"):
            raise InvalidValue(f"has {member!r}, which says nothing of which row it is")
        if member in value[:number]:
            raise InvalidValue(f"has {member!r} twice")
    return tuple(value)


def csv_header(value: object) -> str:
    """Returns a column's header: one line that no spreadsheet takes for a formula."""
    if not isinstance(value, str) or not _HEADER.fullmatch(value) or value != value.strip():
        raise InvalidValue(f"have the header {value!r:.80}, which is not one line of 1 to 64 characters")
    if value.startswith(FORMULA_STARTS):
        raise InvalidValue(f"have the header {value!r:.80}, which a spreadsheet takes for a formula")
    return value


def flag(value: object) -> bool:
    """Returns True or False as given; nothing else is one."""
    if not isinstance(value, bool):
        raise InvalidValue(f"{value!r:.80} is not true or false")
    return value


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


def origins(given: Iterable[str] | str) -> tuple[str, ...]:
    """Returns web origins (`https://app.example.com`), or `*`; a text has commas or spaces between them."""
    found = tuple(given.replace(",", " ").lower().split() if isinstance(given, str) else given)
    for each in found:
        match = _ORIGIN.fullmatch(each)
        if each != "*" and (match is None or (match[1], match[2]) in _LEFT_OUT):
            said = "an origin such as https://app.example.com, without a path, and without the port 80 or 443"
            raise InvalidValue(f"{each!r} is not {said}")
    return found


def webhook_keys(text: str) -> tuple[str, ...]:
    """Returns the keys in a text, separated by commas, the newest first, from which secrets are derived.

    None of an empty text, as a variable may be that is filled in only where there is a key.
    """
    keys = tuple(key.strip() for key in text.split(",")) if text.strip() else ()
    if any(len(key) < LEAST_KEY for key in keys):
        raise InvalidValue(f"a key has at least {LEAST_KEY} characters, all of them random")
    if not all(key.isprintable() for key in keys):
        raise InvalidValue("a key is one line of printable characters")
    return keys


def webhook_targets(text: str) -> frozenset[str]:
    """Returns what endpoints may be beside public https addresses: `http`, `private`, both or neither."""
    allowed = frozenset(word.strip() for word in text.split(",") if word.strip())
    if unknown := allowed - {"http", "private"}:
        raise InvalidValue(f"{min(unknown)!r} is neither http nor private")
    return allowed
