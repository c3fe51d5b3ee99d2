"""Parsing and validation of CSV cells: each function returns the value of one cell, or raises `Rejected`.

The result depends on the cell alone, so a row that is imported again after a crash has the same outcome. A rule
such as "not in the future" would break that.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_address
from operator import mul
from typing import TypeAlias

Cells: TypeAlias = Mapping[str, str]
"""One row of the file: a mapping from column name to cell."""

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
COUNTRY = re.compile(r"[A-Z]{2}")
AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
TAX_ID = re.compile(r"(10|20)[0-9]{9}")
TAX_ID_WEIGHTS = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
TAX_ID_PREFIXES = {"person": "10", "company": "20"}
YEARS = range(1990, 2100)


class Rejected(Exception):
    """The row cannot be imported. `code` is the reason for programs, the message is the reason for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Skipped(Rejected):
    """The row does not need to be imported. That is not a failure."""


def invalid(column: str, text: str, wanted: str) -> Rejected:
    """Returns the error for an invalid cell. The message quotes at most 60 characters of the cell."""
    found = f"{text[:60]!r} is not {wanted}" if text else "missing"
    return Rejected("VALIDATION_ERROR", f"{column}: {found}")


def text(cells: Cells, column: str, longest: int = 200) -> str:
    """Returns a text that is neither empty nor longer than `longest`."""
    found = cells[column].strip()
    if not 0 < len(found) <= longest:
        raise invalid(column, found, f"a text of at most {longest} characters")
    return found


def one_of(choices: Collection[str], cells: Cells, column: str) -> str:
    """Returns one of the words in `choices`."""
    found = cells[column].strip()
    if found not in choices:
        raise invalid(column, found, f"one of {', '.join(choices)}")
    return found


def country(cells: Cells, column: str) -> str:
    """Returns a country code of two letters (ISO 3166)."""
    found = cells[column].strip()
    if not COUNTRY.fullmatch(found):
        raise invalid(column, found, "a country code of two capital letters")
    return found


def identifier(cells: Cells, column: str) -> str:
    """Returns an id that another system gave to the row."""
    found = cells[column].strip()
    if not IDENTIFIER.fullmatch(found):
        raise invalid(column, found, "1 to 64 letters, digits, dots, dashes and underscores")
    return found


def cents(cells: Cells, column: str) -> int:
    """Returns a positive amount of money in cents. Money is never a float: 0.1 + 0.2 would not be 0.3."""
    found = cells[column].strip()
    # Check the pattern first: Decimal also accepts "1e9", "1_000", "NaN" and digits of other scripts.
    if not AMOUNT.fullmatch(found) or not (amount := Decimal(found)):
        raise invalid(column, found, "a positive amount such as 1250.00, below 10^12")
    return int(amount * 100)


def moment(cells: Cells, column: str) -> str:
    """Returns a time in UTC. The cell must give the offset from UTC."""
    found = cells[column].strip()
    try:
        when = datetime.fromisoformat(found)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None or when.year not in YEARS:
        raise invalid(column, found, "a time with its zone, such as 2026-03-01T09:30:00Z")
    return when.astimezone(UTC).isoformat(timespec="seconds")


def day(cells: Cells, column: str) -> str:
    """Returns a calendar day."""
    found = cells[column].strip()
    try:
        when = date.fromisoformat(found)
    except ValueError:
        when = None
    if when is None or when.year not in YEARS:
        raise invalid(column, found, "a day such as 2026-03-01")
    return when.isoformat()


def ip(cells: Cells, column: str) -> str:
    """Returns an IPv4 or IPv6 address."""
    found = cells[column].strip()
    try:
        return str(ip_address(found))
    except ValueError:
        raise invalid(column, found, "an IP address") from None


def check_digit(digits: str) -> int:
    """Returns the last digit of a tax id, computed from the ten before it (modulo 11, as in Peru's RUC)."""
    weighed: int = sum(map(mul, map(int, digits), TAX_ID_WEIGHTS))
    return (11 - weighed % 11) % 10


def is_tax_id(candidate: str) -> bool:
    """Returns True for a well-formed tax id: 10 (person) or 20 (company), eight digits, a valid check digit."""
    return bool(TAX_ID.fullmatch(candidate)) and check_digit(candidate) == int(candidate[-1])


def tax_id(cells: Cells, column: str) -> str:
    """Returns a well-formed tax id."""
    found = cells[column].strip()
    if not is_tax_id(found):
        raise invalid(column, found, "a tax id")
    return found


def entity(cells: Cells, column: str, known: Collection[str] | None) -> str:
    """Returns the tax id of a known entity; if `known` is None, any well-formed tax id."""
    found = cells[column].strip()
    if known is None or found not in known:
        tax_id(cells, column)  # a mistyped tax id gets another error than an unknown entity
        if known is not None:
            raise Rejected("ENTITY_NOT_FOUND", f"{column}: there is no entity with the tax id {found}")
    return found
