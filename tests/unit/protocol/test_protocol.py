"""docs/redis-protocol.md lists scripts, keys and fields as the code has them."""

import re
from pathlib import Path

import pytest

from batchstatus.model import keys
from batchstatus.model.job import Kind, Status
from tests.support.lua import SOURCES, VERBS

PROTOCOL = Path(__file__).parents[3] / "docs" / "redis-protocol.md"


def table_below(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    _, _, text = PROTOCOL.read_text().partition(f"\n## {heading}\n")
    rows = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert rows
    cells = [[cell.strip() for cell in re.split(r"\s\|", row[1:])] for row in rows[0].splitlines()]
    return [row[:-1] for row in cells[2:]]


def names_in(text: str) -> list[str]:
    """The code spans of a cell, in order."""
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_lists_every_script_as_its_header_does(verb: str) -> None:
    (row,) = [row for row in table_below("Scripts") if row[0] == f"`{verb}`"]
    header = SOURCES[verb].header
    assert names_in(row[1]) == [name for name, _ in header.keys]
    assert row[1].endswith("…") == header.takes_any_number_of_keys
    assert names_in(row[2]) == [name for name, _ in header.argv]
    assert names_in(row[3]) == [" ".join([word, *rest]) for word, rest in header.returns.items()]


def test_the_page_lists_no_script_that_does_not_exist() -> None:
    assert sorted(row[0].strip("`") for row in table_below("Scripts")) == VERBS


def test_the_page_lists_every_key_with_its_type() -> None:
    said = re.findall(r"^    (<prefix>:\S+)\s+(hash|list|zset) ", keys.__doc__ or "", re.MULTILINE)
    types = {"sorted set": "zset"}
    assert sorted(said) == sorted((row[0].strip("`"), types.get(row[1], row[1])) for row in table_below("Keys"))


def test_the_page_lists_every_field_with_the_scripts_that_write_and_drop_it() -> None:
    written, dropped = {}, {}
    for name, _, writers, droppers in table_below("The job's hash"):
        written[name.strip("`")] = verbs_in(writers)
        dropped[name.strip("`")] = verbs_in(droppers.replace("at the end", "finish, settle"))
    assert written.pop("windowEndsAt") == set()  # by the scripts of parts alone
    assert written == fields_written("")
    assert {name: verbs for name, verbs in dropped.items() if verbs} == fields_written("-")


def verbs_in(cell: str) -> set[str]:
    """The scripts that a cell names, without the conditions in brackets."""
    return set(re.findall(r"\b[a-z]+\b", re.sub(r"\([^)]*\)", "", cell)))


def fields_written(sign: str) -> dict[str, set[str]]:
    """Which scripts write each field of a job's hash; with a `-`, which drop it."""
    found: dict[str, set[str]] = {}
    for verb, source in SOURCES.items():
        for name in source.header.writes.get("job", ()):
            if name.startswith("-") == bool(sign):
                found.setdefault(name.removeprefix("-"), set()).add(verb)
    return found


def test_the_page_lists_all_kinds_and_statuses() -> None:
    listed = {row[0]: names_in(row[1]) for row in table_below("The job's hash")}
    assert listed["`kind`"] == [kind.value for kind in Kind]
    assert listed["`status`"] == [status.value for status in Status]
