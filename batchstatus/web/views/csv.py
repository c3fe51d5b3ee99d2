"""Failed rows as CSV (RFC 4180), safe to open in a spreadsheet, streamed page by page."""

import codecs
import csv
import io
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator

from batchstatus.model.errors import BatchStatusError, RowsLost
from batchstatus.model.job import Row
from batchstatus.model.kinds import JobKind
from batchstatus.model.values import FORMULA_STARTS

MEDIA_TYPE = "text/csv; charset=utf-8"

_log = logging.getLogger(__name__)


def csv_chunks(
    kind: JobKind,
    pages: Iterable[list[Row]],
    connection: socket.socket | None = None,
    lost: Callable[[], None] = lambda: None,
    *,
    bom: bool = False,
) -> Iterator[bytes]:
    """The file, a chunk a page. Until its end `connection` closes by reset: a short file never looks whole.

    `lost` is called if the store has lost rows of the file. With `bom` it begins with a byte order mark.
    """
    _close_by_reset(connection, True)
    yield (codecs.BOM_UTF8 if bom else b"") + _encode([list(kind.columns.values())])
    try:
        for page in pages:
            yield _encode([_cell(row.get(member)) for member in kind.columns] for row in page)
    except BatchStatusError as error:
        _log.warning("a CSV download was cut short: %s", error)
        if isinstance(error, RowsLost):
            lost()
        if connection is not None:
            connection.close()
        raise
    _close_by_reset(connection, False)


def _cell(value: object) -> str:
    """A cell's text; one that a spreadsheet would take for a formula is prefixed (OWASP: CSV injection)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _encode(lines: Iterable[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(lines)
    return buffer.getvalue().encode("utf-8", "replace")


def _close_by_reset(connection: socket.socket | None, reset: bool) -> None:
    """Close with RST instead of FIN, even if the process is killed.

    To an HTTP/1.0 client, which knows no chunks, FIN would mean: complete.
    """
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
