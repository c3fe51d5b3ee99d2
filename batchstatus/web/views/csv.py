"""Failed rows as CSV (RFC 4180), safe to open in a spreadsheet, streamed page by page."""

import csv
import io
import logging
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

from batchstatus.errors import BatchStatusError
from batchstatus.model import Kind, Row

MEDIA_TYPE = "text/csv; charset=utf-8"

COLUMNS: Mapping[Kind, Mapping[str, str]] = {
    Kind.TRANSACTION_BATCH: {"external_id": "externalId", "code": "code", "error": "message"},
    Kind.USER_EVENT_BATCH: {"row_key": "rowKey", "code": "code", "error": "message"},
    Kind.ENTITY_AUTOMATIC: {
        "tax_id": "taxId",
        "type": "type",
        "outcome": "outcome",
        "code": "code",
        "error_message": "message",
    },
}
"""For each kind its columns, and the member of a row that each shows."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_log = logging.getLogger(__name__)


def csv_chunks(kind: Kind, pages: Iterable[list[Row]], connection: socket.socket | None = None) -> Iterator[bytes]:
    """The file, a chunk a page. Until its end `connection` closes by reset: a short file never looks whole."""
    columns = COLUMNS[kind]
    _close_by_reset(connection, True)
    yield _encode([list(columns)])
    try:
        for page in pages:
            yield _encode([_cell(row.get(member)) for member in columns.values()] for row in page)
    except BatchStatusError as error:
        _log.warning("a CSV download was cut short: %s", error)
        if connection is not None:
            connection.close()
        raise
    _close_by_reset(connection, False)


def _cell(value: object) -> str:
    """A cell's text; one that a spreadsheet would take for a formula is prefixed (OWASP: CSV injection)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


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
