"""`batchstatus kinds`: print the declared kinds. Needs no store."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from batchstatus.cli.options import json_option, kinds_option
from batchstatus.model.kinds import PUBLISHED, JobKind
from batchstatus.settings import declared_kinds

PUBLISHED_API = "published"
"""Where a kind comes from that no file describes."""


@click.command()
@kinds_option
@json_option
def kinds(kinds_file: str | None, as_json: bool) -> None:
    """Print the declared kinds, and whether a file or the published API describes them."""
    declared = declared_kinds(kinds_file)
    found = [_fields(kind, kinds_file) for kind in declared]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    table = Table("kind", "permission", "failed rows at", "row", "CSV", "skips", "from", box=None, pad_edge=False)
    for each in found:
        shown = (each["name"], each["permission"], each["path"], ", ".join(each["row"]))
        columns = ",".join(each["columns"].values())
        table.add_row(*shown, columns, "yes" if each["skips"] else "no", each["from"])
    # Wide enough that grep finds a kind and all that belongs to it in one line.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 1_000).print(table)


def _fields(kind: JobKind, file: str | None) -> dict[str, Any]:
    return {
        "name": str(kind.name),
        "permission": kind.permission,
        "path": kind.path,
        "row": [*kind.row],
        "columns": {**kind.columns},
        "skips": kind.skips,
        "from": PUBLISHED_API if kind in [*PUBLISHED] or not file else file,
    }
