"""`batchstatus keys`: manage API keys."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from batchstatus.apikeys import ApiKey
from batchstatus.cli.options import Duration, StoreAt, json_option, kinds_option, store_options
from batchstatus.cli.terminal.bars import GAP
from batchstatus.cli.terminal.listing import LEAST_NAME, cell
from batchstatus.cli.terminal.words import clean, duration, to_json
from batchstatus.model.errors import ApiKeyNotFound
from batchstatus.model.job import time_text
from batchstatus.model.keys import ORG
from batchstatus.settings import declared_kinds
from batchstatus.tickets import Ticket


@click.group()
def keys() -> None:
    """Create, list and revoke API keys, directly in the store."""


@keys.command()
@click.option("--org", required=True, help="The organization the key belongs to.")
@click.option(
    "--permission",
    "permissions",
    required=True,
    multiple=True,
    help="resource:action; to read jobs, that of any declared kind (batchstatus kinds). Repeatable.",
)
@click.option("--expires-in", type=Duration(), help="For example 90d; by default the key never expires.")
@click.option("--name", help="What the key is for.")
@store_options
@kinds_option
@json_option
def create(
    org: str,
    permissions: tuple[str, ...],
    expires_in: float | None,
    name: str | None,
    at: StoreAt,
    kinds_file: str | None,
    as_json: bool,
) -> None:
    """Create a key and print it. The key cannot be shown again."""
    reading = declared_kinds(kinds_file).read_permissions
    key, record = at.open().api_keys.create(org, permissions, name=name, expires_in_s=expires_in)
    if as_json:
        click.echo(to_json({"id": record.id, "key": key, **_fields(record)}))
        return
    click.echo(key)
    click.echo(f"This is key {record.id}. Save it now: it cannot be shown again.", err=True)
    if not reading & {*permissions}:
        needed = ", ".join(sorted(reading))
        click.echo(f"It cannot read jobs: reading needs one of {needed}.", err=True)


@keys.command(name="list")
@click.option("--org", required=True, help="The organization whose keys and tickets to list.")
@store_options
@json_option
def list_keys(org: str, at: StoreAt, as_json: bool) -> None:
    """List an organization's valid keys and tickets."""
    store = at.open()
    records, tickets = store.api_keys.list(org), store.tickets.list(org)
    if as_json:
        listed = [{"id": record.id, **_fields(record)} for record in records]
        click.echo(to_json([*listed, *map(_ticket_fields, tickets)]))
        return
    print_keys(records, tickets)


@keys.command()
@click.argument("key_id", metavar="ID")
@store_options
def revoke(key_id: str, at: StoreAt) -> None:
    """Revoke a key, with the tickets that it minted, or a ticket. Every replica refuses it within 5 s."""
    store = at.open()
    is_ticket = any(ticket.id == key_id for ticket in store.tickets.list(_org_of(key_id)))
    (store.tickets if is_ticket else store.api_keys).revoke(key_id)
    click.echo(f"revoked {key_id}")


def _org_of(key_id: str) -> str:
    org = key_id.rpartition(".")[0]
    if not ORG.fullmatch(org):
        raise ApiKeyNotFound(f"there is no API key {key_id!r}")
    return org


def print_keys(records: Sequence[ApiKey], tickets: Sequence[Ticket], console: Console | None = None) -> None:
    """Print keys and tickets: on a terminal two lines each, which fit its width, else one, which scripts read."""
    console = console or Console()
    if console.is_terminal:
        for line in _lines([*records, *tickets], console.width):
            console.print(line, highlight=False)
        return
    for record in records:
        fields = _fields(record)
        expiry = f"expires {fields['expiresAt']}" if fields["expiresAt"] else "does not expire"
        words = (record.id, " ".join(fields["permissions"]), expiry, f"created {fields['createdAt']}")
        click.echo("  ".join([*words, clean(record.name or "")]).rstrip())
    for ticket in tickets:
        reads = f"job {ticket.job_id}" if ticket.job_id else "all jobs"
        times = f"expires {time_text(ticket.expires_at)}  created {time_text(ticket.created_at)}"
        click.echo(f"{ticket.id}  ticket for {reads}  {times}")


def _lines(found: Iterable[ApiKey | Ticket], width: int) -> Iterator[RenderableType]:
    """Returns keys and tickets for a terminal, two lines each: the second has the id, and what it may."""
    for each in found:
        name, may = _told(each)
        expires = f"expires {_in(each.expires_at)}" if each.expires_at else "does not expire"
        times = f"created {each.created_at:%Y-%m-%d}  {expires:18}"
        line = cell(name, max(LEAST_NAME, width - GAP - len(times)))
        yield line.append(f"{'':{GAP}}{times}")
        yield Padding(Text(f"{each.id}  {may}", "dim"), (0, 0, 0, GAP))


def _told(each: ApiKey | Ticket) -> tuple[Text, str]:
    """Returns the name of a key or ticket, and what it may do."""
    if isinstance(each, Ticket):
        return Text("ticket"), f"reads {f'job {each.job_id}' if each.job_id else 'all jobs'}"
    name = Text(clean(each.name), "bold") if each.name else Text("no name", "dim")
    return name, " ".join(sorted(each.permissions))


def _in(moment: datetime) -> str:
    return f"in {duration(max(0.0, (moment - datetime.now(UTC)).total_seconds()))}"


def _fields(record: ApiKey) -> dict[str, Any]:
    return {
        "org": record.org,
        "permissions": sorted(record.permissions),
        "name": record.name,
        "createdAt": time_text(record.created_at),
        "expiresAt": time_text(record.expires_at),
    }


def _ticket_fields(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "org": ticket.org,
        "permissions": [],
        "name": None,
        "createdAt": time_text(ticket.created_at),
        "expiresAt": time_text(ticket.expires_at),
        "ticket": {"jobId": ticket.job_id},
    }
