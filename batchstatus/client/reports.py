"""Cuts a batch into reports that the service takes: so many rows, so many bytes, a checkpoint that covers all."""

import json
from collections.abc import Iterator
from typing import Any

from batchstatus.model import rows
from batchstatus.model.messages import Batch

MAX_ROWS = 1_000
MAX_BYTES = 900_000
"""Of rows. The service takes 1 MiB; a checkpoint and the other members are far smaller than the rest."""


def reports_of(batch: Batch) -> list[dict[str, Any]]:
    """Returns the reports, without `seq`, that together say what the batch says.

    Over HTTP a checkpoint covers its whole report, so the rows that it does not cover come in later ones.
    """
    ok, failed, skipped = batch.counts if batch.covered is None else batch.covered
    first = Batch(ok, batch.failures[:failed], batch.skips[:skipped], batch.total_items, batch.checkpoint)
    late = Batch(batch.succeeded - ok, batch.failures[failed:], batch.skips[skipped:])
    return [report for part in (first, late) if part for report in _reports_of(part)]


def _reports_of(part: Batch) -> Iterator[dict[str, Any]]:
    """Yield the reports of a part that its checkpoint covers; the last one has all but the rows before."""
    report: dict[str, Any] = {}
    count = size = 0
    named = [("failures", row) for row in part.failures] + [("skips", row) for row in part.skips]
    for name, row in named:
        fits = json.loads(rows.encode(row))
        length = len(json.dumps(fits))  # as it is sent: all but ASCII escaped
        if count == MAX_ROWS or size + length > MAX_BYTES:
            yield report
            report, count, size = {}, 0, 0
        report.setdefault(name, []).append(fits)
        count, size = count + 1, size + length + 2
    others = {"succeeded": part.succeeded, "totalItems": part.total_items, "checkpoint": part.checkpoint}
    yield report | {name: value for name, value in others.items() if value is not None}
