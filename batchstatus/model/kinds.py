"""The kinds of jobs: one declaration each. Checks, schemas, routes, CSV and permissions are derived from it.

`PUBLISHED` are the three kinds of the published API, and the default. Kinds of one's own replace them; a published
kind that is named among them stays.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import Kind

MOST_KINDS = 32

NAME = re.compile(r"[a-z][a-z0-9_]{1,31}")

_KINDS = {kind.value: kind for kind in Kind}


def as_kind(name: str) -> Kind | str:
    """Returns the `Kind` of this name; a name that is not published is returned as plain text."""
    return _KINDS.get(name, name)


@dataclass(frozen=True)
class JobKind:
    """The declaration of a kind. InvalidValue names what is wrong.

    - `name`: `^[a-z][a-z0-9_]{1,31}$`.
    - `permission`: `resource:action`; a caller with it controls jobs of this kind, and reads all jobs.
    - `path`: failed rows are at `/batch-import/<path>/{jobId}/failures` and `….csv`; `^[a-z][a-z0-9-]{1,63}$`.
    - `row`: the members that name a row, 1 to 16; sent as text or null. Each row has a `code`, a failed row a
      `message` too.
    - `columns`: the CSV header of each member, in the order of the columns.
    - `skips`: True if failed rows are shown together with skipped rows. Rows then have an `outcome` too.

        JobKind("product_import", "products:import", "product-jobs", ["sku"], {"sku": "sku", "code": "code",
                "message": "error"}, skips=True)
    """

    name: str
    permission: str
    path: str
    row: Sequence[str]
    columns: Mapping[str, str] = field(hash=False)
    skips: bool = False

    csv_alias: ClassVar[str | None] = None
    """An older path of the CSV, with `<job_id>`."""
    skip_code: ClassVar[str] = "SKIPPED"
    skip_outcome: ClassVar[str] = "skipped"
    """What a skipped row has where its worker says nothing."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InvalidValue(f"kind {self.name!r:.80}: the name does not match ^{NAME.pattern}$")
        object.__setattr__(self, "name", as_kind(self.name))
        checks = {
            "permission": values.permission,
            "path": values.path_of_failures,
            "row": values.members_naming_a_row,
            "columns": self._checked_columns,  # which needs a row that is right
            "skips": values.flag,
        }
        for member, check in checks.items():
            try:
                object.__setattr__(self, member, check(getattr(self, member)))
            except InvalidValue as error:
                raise InvalidValue(f"kind {self.name}: {member} {error}") from None

    @cached_property
    def members(self) -> frozenset[str]:
        """The members that a row may have."""
        return frozenset([*self.row, *self._other_members])

    @property
    def _other_members(self) -> tuple[str, ...]:
        return ("outcome", "code", "message") if self.skips else ("code", "message")

    def _checked_columns(self, columns: object) -> dict[str, str]:
        if not isinstance(columns, Mapping):
            raise InvalidValue(f"{columns!r:.80} are not a table of members and their CSV headers")
        known = [*self.row, *self._other_members]
        if unknown := [member for member in columns if member not in known]:
            raise InvalidValue(f"have {unknown[0]!r:.80}, which no row has; rows have {', '.join(known)}")
        if missing := [each for each in known if each not in columns and each != "outcome"]:
            raise InvalidValue(f"lack a header for {', '.join(missing)}")
        checked: dict[str, str] = {}
        for member, given in columns.items():
            header = values.csv_header(given)
            if header in checked.values():
                raise InvalidValue(f"have the header {header!r} twice")
            checked[member] = header
        return checked


class _Published(JobKind):
    skip_code = "SKIPPED_DUPLICATE_TAX_ID"
    skip_outcome = "skipped_existing"


class _Entities(_Published):
    csv_alias = "/entities/automatic/bulk/imports/<job_id>/failures.csv"


class Kinds:
    """The declared kinds in their order, at most 32. InvalidValue names what is wrong, and two kinds that clash.

    A published kind may be given by its name alone, and cannot be declared otherwise than it is.
    """

    def __init__(self, declared: Iterable[JobKind | str]) -> None:
        if isinstance(declared, str | bytes) or not isinstance(declared, Iterable):
            raise InvalidValue(f"kinds {declared!r:.80} are not a list of JobKind")
        self._by_name: dict[str, JobKind] = {}
        for each in declared:
            kind = _published(each)
            self._check_clashes(kind)
            self._by_name[kind.name] = kind
        if not 1 <= len(self._by_name) <= MOST_KINDS:
            raise InvalidValue(f"{len(self._by_name)} kinds are declared; there must be 1 to {MOST_KINDS}")
        self.names: tuple[str, ...] = tuple(self._by_name)
        self.read_permissions = frozenset(kind.permission for kind in self)
        self._by_bytes = {name.encode(): name for name in self.names}

    @classmethod
    def of_toml(cls, text: str) -> Self:
        """Returns the kinds of a TOML document with a table each; an empty table names a published kind."""
        try:
            tables = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InvalidValue(f"not TOML: {error}") from None
        return cls([_declared(name, table) for name, table in tables.items()])

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Self:
        """Returns the kinds of a TOML file; InvalidValue says why there are none."""
        try:
            text = Path(path).read_text("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidValue("not UTF-8") from None
        except (OSError, ValueError) as error:  # ValueError: no file can have this name
            raise InvalidValue(getattr(error, "strerror", None) or str(error)) from None
        return cls.of_toml(text)

    def __iter__(self) -> Iterator[JobKind]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> JobKind:
        return self._by_name[name]

    def named(self, name: object) -> str:
        """Returns the name of a declared kind, as a `Kind` if it is published; InvalidValue for any other."""
        found = self._by_name.get(name) if isinstance(name, str) else None
        if found is None:
            raise InvalidValue(f"kind {name!r:.80} is not one of {', '.join(self.names)}")
        return found.name

    def stored(self, name: bytes) -> str | None:
        """Returns the name of a declared kind from the store; None for any other."""
        return self._by_bytes.get(name)

    def _check_clashes(self, kind: JobKind) -> None:
        for other in self._by_name.values():
            if kind.name == other.name:
                raise InvalidValue(f"kind {kind.name} is declared twice")
            if kind.name.replace("_", "") == other.name.replace("_", ""):
                raise InvalidValue(f"kind {kind.name}: only underscores tell the name from kind {other.name}")
            for member in ("path", "permission"):
                if (taken := getattr(kind, member)) == getattr(other, member):
                    raise InvalidValue(f"kind {kind.name}: {member} {taken!r} is that of kind {other.name}")


def _published(kind: JobKind | str) -> JobKind:
    """Returns a declared kind; in place of a published one, the published declaration."""
    if not isinstance(kind, JobKind):
        if not isinstance(kind, str) or kind not in _PUBLISHED:
            raise InvalidValue(f"kind {kind!r:.80} is neither a JobKind nor one of {', '.join(_PUBLISHED)}")
        return _PUBLISHED[kind]
    published = _PUBLISHED.get(kind.name, kind)
    for member in fields(JobKind):
        must, given = getattr(published, member.name), getattr(kind, member.name)
        if given != must:
            raise InvalidValue(
                f"kind {kind.name}: {member.name} is {must!r} in the published API, not {given!r:.80}"
            )
    return published


def _declared(name: str, table: object) -> JobKind:
    """Returns the kind that a table of a TOML document declares."""
    members = [member.name for member in fields(JobKind) if member.name != "name"]
    if not isinstance(table, dict):
        raise InvalidValue(f"{name!r:.80} is not a table such as [product_import]")
    if unknown := [member for member in table if member not in members]:
        raise InvalidValue(f"kind {name:.80} has no member {unknown[0]!r:.80}; it has {', '.join(members)}")
    published = _PUBLISHED.get(name)
    given: dict[str, Any] = {member: getattr(published, member) for member in members} if published else {}
    given |= table
    if missing := [member for member in members if member not in given and member != "skips"]:
        raise InvalidValue(f"kind {name:.80} needs {', '.join(missing)}")
    return JobKind(name=name, **given)


_PUBLISHED: dict[str, JobKind] = {
    kind.name: kind
    for kind in (
        _Entities(
            name="entity_automatic",
            permission="entities:bulk_import",
            path="entity-jobs",
            row=("taxId", "type"),
            columns={
                "taxId": "tax_id",
                "type": "type",
                "outcome": "outcome",
                "code": "code",
                "message": "error_message",
            },
            skips=True,
        ),
        _Published(
            name="transaction_batch",
            permission="transactions:create",
            path="transaction-jobs",
            row=("externalId",),
            columns={"externalId": "external_id", "code": "code", "message": "error"},
        ),
        _Published(
            name="user_event_batch",
            permission="events:create",
            path="user-event-jobs",
            row=("rowKey",),
            columns={"rowKey": "row_key", "code": "code", "message": "error"},
        ),
    )
}

PUBLISHED = Kinds(_PUBLISHED.values())
"""The three kinds of the published API."""
