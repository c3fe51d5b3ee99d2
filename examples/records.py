"""Reading CSV files with a byte order mark, blank lines, and line breaks inside cells."""

import csv
from collections.abc import Collection, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, TextIO

from fields import Cells, is_tax_id

from batchstatus import JobAborted


class Record(NamedTuple):
    """One record of a file. A record may span several lines, so its number and its line differ."""

    number: int
    """1 is the first record after the header."""
    line: int
    """The line where the record starts; the header is line 1."""
    cells: Cells
    fits: bool
    """True if the record has as many cells as the header."""


def open_csv(path: Path) -> TextIO:
    """Open a file for `read`. A byte order mark, as spreadsheets write it, is dropped."""
    return path.open(encoding="utf-8-sig", newline="")


def read(file: TextIO, columns: Collection[str]) -> Iterator[Record]:
    """Yield the records from the start of the file. Raises JobAborted if the file is not CSV in UTF-8."""
    file.seek(0)
    reader = csv.reader(file, strict=True)  # without strict, an unclosed quote swallows the rest of the file
    name = Path(file.name).name
    try:
        header = next(reader, [])
        check_header(name, header, columns)
        number, line = 1, reader.line_num + 1
        for cells in reader:
            if cells:  # a blank line is not a record
                row = dict(zip_longest(header, cells, fillvalue=""))
                yield Record(number, line, row, len(cells) == len(header))
                number += 1
            line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        message = f"{name} is not CSV in UTF-8, see line {reader.line_num + 1} or after: {error}"
        raise JobAborted("UNREADABLE_FILE", message) from error


def check_header(name: str, header: Collection[str], columns: Collection[str]) -> None:
    """Fail the whole job if a column is missing, since every row would fail for that one reason."""
    if missing := [column for column in columns if column not in header]:
        raise JobAborted("INVALID_HEADER", f"{name} lacks {', '.join(missing)}", {"missing": missing})


def known_entities(path: Path) -> frozenset[str]:
    """Returns the well-formed tax ids in a file of entities."""
    with open_csv(path) as file:
        tax_ids = (record.cells["tax_id"].strip() for record in read(file, ["tax_id"]))
        return frozenset(filter(is_tax_id, tax_ids))
