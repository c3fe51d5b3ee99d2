"""`batchstatus keys`: manage API keys."""

import json
from typing import Any

import click

from batchstatus.apikeys import READ_PERMISSIONS, ApiKey
from batchstatus.cli.options import Duration, json_option, prefix_option, redis_option
from batchstatus.connecting import connect
from batchstatus.store import JobStore


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
    help=f"resource:action; to read jobs, one of {', '.join(sorted(READ_PERMISSIONS))}. Repeatable.",
)
@click.option("--expires-in", type=Duration(), help="For example 90d; by default the key never expires.")
@click.option("--name", help="What the key is for.")
@redis_option
@prefix_option
@json_option
def create(
    org: str,
    permissions: tuple[str, ...],
    expires_in: float | None,
    name: str | None,
    redis_url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Create a key and print it. The key cannot be shown again."""
    key, record = _store(redis_url, prefix).api_keys.create(org, permissions, name=name, expires_in_s=expires_in)
    if as_json:
        click.echo(json.dumps({"id": record.id, "key": key, **_fields(record)}))
        return
    click.echo(key)
    click.echo(f"This is key {record.id}. Save it now: it cannot be shown again.", err=True)
    if not READ_PERMISSIONS & {*permissions}:
        needed = ", ".join(sorted(READ_PERMISSIONS))
        click.echo(f"It cannot read jobs: reading needs one of {needed}.", err=True)


@keys.command(name="list")
@click.option("--org", required=True, help="The organization whose keys to list.")
@redis_option
@prefix_option
@json_option
def list_keys(org: str, redis_url: str, prefix: str, as_json: bool) -> None:
    """List an organization's valid keys."""
    records = _store(redis_url, prefix).api_keys.list(org)
    if as_json:
        click.echo(json.dumps([{"id": record.id, **_fields(record)} for record in records]))
        return
    for record in records:
        fields = _fields(record)
        expiry = f"expires {fields['expiresAt']}" if fields["expiresAt"] else "does not expire"
        click.echo(f"{record.id}  {' '.join(fields['permissions'])}  {expiry}  {record.name or ''}".rstrip())


@keys.command()
@click.argument("key_id", metavar="ID")
@redis_option
@prefix_option
def revoke(key_id: str, redis_url: str, prefix: str) -> None:
    """Revoke a key. Every replica refuses it within 5 s."""
    _store(redis_url, prefix).api_keys.revoke(key_id)
    click.echo(f"revoked {key_id}")


def _store(redis_url: str, prefix: str) -> JobStore:
    return connect(redis_url, prefix=prefix)


def _fields(record: ApiKey) -> dict[str, Any]:
    expires_at = record.expires_at
    return {
        "org": record.org,
        "permissions": sorted(record.permissions),
        "name": record.name,
        "expiresAt": f"{expires_at.isoformat(timespec='milliseconds')[:-6]}Z" if expires_at else None,
    }
