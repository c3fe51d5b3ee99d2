"""From a cell of a CSV file to a value: each function reads one cell, or says what is wrong with it.

A judgement depends on nothing but the cell. A row that is done again after a crash is thus judged the same
way; a rule such as "not in the future" would break that.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_address
from operator import mul
from typing import TypeAlias

Cells: TypeAlias = Mapping[str, str]
"""One row of the file: column name to cell."""

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
COUNTRY = re.compile(r"[A-Z]{2}")
AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
TAX_ID = re.compile(r"(10|20)[0-9]{9}")
TAX_ID_WEIGHTS = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
TAX_ID_PREFIXES = {"person": "10", "company": "20"}
YEARS = range(1990, 2100)


class Rejected(Exception):
    """The row cannot be imported: `code` tells machines why, the message tells people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Skipped(Rejected):
    """The row need not be imported, which is no failure."""


def invalid(column: str, text: str, wanted: str) -> Rejected:
    """What to raise when the cell is not what was wanted; a long cell is quoted in part."""
    found = f"{text[:60]!r} is not {wanted}" if text else "missing"
    return Rejected("VALIDATION_ERROR", f"{column}: {found}")


def text(cells: Cells, column: str, longest: int = 200) -> str:
    """Any text, but some."""
    found = cells[column].strip()
    if not 0 < len(found) <= longest:
        raise invalid(column, found, f"a text of at most {longest} characters")
    return found


def one_of(choices: Collection[str], cells: Cells, column: str) -> str:
    """One of a few words."""
    found = cells[column].strip()
    if found not in choices:
        raise invalid(column, found, f"one of {', '.join(choices)}")
    return found


def country(cells: Cells, column: str) -> str:
    """A country by its two letters (ISO 3166)."""
    found = cells[column].strip()
    if not COUNTRY.fullmatch(found):
        raise invalid(column, found, "a country code of two capital letters")
    return found


def identifier(cells: Cells, column: str) -> str:
    """A name that another system gave to the row."""
    found = cells[column].strip()
    if not IDENTIFIER.fullmatch(found):
        raise invalid(column, found, "1 to 64 letters, digits, dots, dashes and underscores")
    return found


def cents(cells: Cells, column: str) -> int:
    """A positive amount of money. Money is never a float: 0.1 + 0.2 would not be 0.3."""
    found = cells[column].strip()
    # The pattern comes first, because Decimal also takes "1e9", "1_000", "NaN" and the digits of all scripts.
    if not AMOUNT.fullmatch(found) or not (amount := Decimal(found)):
        raise invalid(column, found, "a positive amount such as 1250.00, below 10^12")
    return int(amount * 100)


def moment(cells: Cells, column: str) -> str:
    """A point in time, which needs an offset from UTC; the result is in UTC."""
    found = cells[column].strip()
    try:
        when = datetime.fromisoformat(found)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None or when.year not in YEARS:
        raise invalid(column, found, "a time with its zone, such as 2026-03-01T09:30:00Z")
    return when.astimezone(UTC).isoformat(timespec="seconds")


def day(cells: Cells, column: str) -> str:
    """A day of the calendar."""
    found = cells[column].strip()
    try:
        when = date.fromisoformat(found)
    except ValueError:
        when = None
    if when is None or when.year not in YEARS:
        raise invalid(column, found, "a day such as 2026-03-01")
    return when.isoformat()


def ip(cells: Cells, column: str) -> str:
    """An IPv4 or IPv6 address."""
    found = cells[column].strip()
    try:
        return str(ip_address(found))
    except ValueError:
        raise invalid(column, found, "an IP address") from None


def check_digit(digits: str) -> int:
    """The last digit of a tax id, from the ten before it (modulo 11, as Peru's RUC has it)."""
    weighed: int = sum(map(mul, map(int, digits), TAX_ID_WEIGHTS))
    return (11 - weighed % 11) % 10


def is_tax_id(candidate: str) -> bool:
    """Whether it is well-formed: 10 (a person) or 20 (a company), eight digits, and the right check digit."""
    return bool(TAX_ID.fullmatch(candidate)) and check_digit(candidate) == int(candidate[-1])


def tax_id(cells: Cells, column: str) -> str:
    """A well-formed tax id."""
    found = cells[column].strip()
    if not is_tax_id(found):
        raise invalid(column, found, "a tax id")
    return found


def entity(cells: Cells, column: str, known: Collection[str] | None) -> str:
    """The tax id of an entity, one of the known ones; without a list of them any well-formed one will do."""
    found = cells[column].strip()
    if known is None or found not in known:
        tax_id(cells, column)  # a mistyped one is told from an unknown one
        if known is not None:
            raise Rejected("ENTITY_NOT_FOUND", f"{column}: there is no entity with the tax id {found}")
    return found
