"""`batchstatus webhooks`: who is told of the ends of an organization's jobs."""

import json
from datetime import datetime
from typing import Any

import click

from batchstatus.cli.options import Command, Duration, StoreAt, json_option, kinds_option, store_options
from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import time_text
from batchstatus.settings import WEBHOOKS_KEY_VARIABLE, declared_kinds, webhooks_keys
from batchstatus.webhooks.endpoints import OVERLAP_S, TYPES, Endpoint, Endpoints
from batchstatus.webhooks.notices import Delivery, Notices
from batchstatus.webhooks.secrets import Secrets
from batchstatus.webhooks.sending import checked_url


def allow_option(command: Command) -> Command:
    """Add the option for what endpoints may be."""
    return click.option(
        "--webhooks-allow",
        "allow",
        envvar="BATCHSTATUS_WEBHOOKS_ALLOW",
        default="",
        metavar="WORDS",
        help="http, private, or both with a comma: what endpoints may be beside public https addresses. "
        "[env: BATCHSTATUS_WEBHOOKS_ALLOW]",
    )(command)


@click.group()
def webhooks() -> None:
    """Add, list and remove endpoints that are told of the ends of jobs, directly in the store."""


@webhooks.command()
@click.argument("url")
@click.option("--org", required=True, help="The organization whose jobs the endpoint is told of.")
@click.option("--kind", "kinds", multiple=True, help="Only of jobs of this kind. Repeatable.")
@click.option("--type", "types", multiple=True, help=f"Only of these: {', '.join(TYPES)}. Repeatable.")
@allow_option
@store_options
@kinds_option
@json_option
def add(
    url: str,
    org: str,
    kinds: tuple[str, ...],
    types: tuple[str, ...],
    allow: str,
    at: StoreAt,
    kinds_file: str | None,
    as_json: bool,
) -> None:
    """Add an endpoint and print its secret. The secret cannot be shown again."""
    allowed = values.webhook_targets(allow)
    checked = checked_url(url, allow_private="private" in allowed, allow_http="http" in allowed)
    endpoints = Endpoints(at.open(kinds=declared_kinds(kinds_file)).connection)
    added = endpoints.add(org, checked, known_secrets(), kinds=kinds or None, types=types or None)
    _show_secret(*added, as_json)


@webhooks.command(name="list")
@click.option("--org", required=True, help="The organization whose endpoints to list.")
@store_options
@json_option
def list_endpoints(org: str, at: StoreAt, as_json: bool) -> None:
    """List an organization's endpoints."""
    endpoints = Endpoints(at.open().connection).list(org)
    if as_json:
        click.echo(json.dumps([_fields(each) for each in endpoints]))
        return
    for each in endpoints:
        only = [*sorted(each.kinds or ()), *([] if len(each.types) == len(TYPES) else sorted(each.types))]
        told = f"only {' '.join(only)}" if only else "every end"
        click.echo(f"{each.id}  {each.url}  {f'disabled: {each.disabled}' if each.disabled else told}")


@webhooks.command()
@click.argument("endpoint_id", metavar="ID")
@store_options
def remove(endpoint_id: str, at: StoreAt) -> None:
    """Remove an endpoint. What it has not been told yet, it is not told any more."""
    Endpoints(at.open().connection).remove(endpoint_id)
    click.echo(f"removed {endpoint_id}")


@webhooks.command()
@click.argument("endpoint_id", metavar="ID")
@click.option(
    "--overlap",
    type=Duration(),
    default=f"{OVERLAP_S / 3600:.0f}h",
    show_default=True,
    help="How long notices are signed with the secret before it, too.",
)
@store_options
@json_option
def rotate(endpoint_id: str, overlap: float, at: StoreAt, as_json: bool) -> None:
    """Give an endpoint a new secret and print it. An endpoint that was disabled is enabled again."""
    endpoints = Endpoints(at.open().connection)
    _show_secret(*endpoints.rotate(endpoint_id, known_secrets(), overlap), as_json)


@webhooks.command()
@click.option("--org", required=True, help="The organization whose deliveries to list.")
@click.option("--job", "job_id", help="Only those of this job.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many at most.")
@store_options
@json_option
def deliveries(org: str, job_id: str | None, limit: int, at: StoreAt, as_json: bool) -> None:
    """List what endpoints were told, or are to be told, the latest first."""
    found = Notices(at.open().connection).deliveries(org, job_id=job_id, limit=limit)
    if as_json:
        click.echo(json.dumps([_delivery_fields(each) for each in found]))
        return
    for each in found:
        click.echo(f"{each.job_id}  {each.endpoint}  {_said(each)}")


@webhooks.command()
@click.argument("job_id", metavar="JOB")
@click.option("--org", required=True, help="The job's organization.")
@click.option("--endpoint", "endpoint_id", help="Only to this endpoint, whatever it is told of otherwise.")
@store_options
@kinds_option
def replay(job_id: str, org: str, endpoint_id: str | None, at: StoreAt, kinds_file: str | None) -> None:
    """Have the end of a job sent once more, under the same webhook-id."""
    notices = Notices(at.open(kinds=declared_kinds(kinds_file)).connection)
    only = None if endpoint_id is None else [notices.endpoints.get(endpoint_id)]
    if only and only[0].org != org:
        raise InvalidValue(f"endpoint {endpoint_id} is not of {org}")
    for each in notices.replay(org, job_id, only):
        click.echo(f"{job_id} is sent to {each.id} once more")


def known_secrets() -> Secrets:
    """Returns the secrets that are derived from the operator's key; UsageError without one.

    The key is no option: everybody on the machine can read a command line.
    """
    if not (keys := webhooks_keys()):
        raise click.UsageError(
            f"{WEBHOOKS_KEY_VARIABLE} is not set: the secrets are derived from it (32 random characters or more)"
        )
    return Secrets(keys)


def _show_secret(secret: str, endpoint: Endpoint, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**_fields(endpoint), "secret": secret}))
        return
    click.echo(secret)
    click.echo(
        f"This is the secret of endpoint {endpoint.id}. Save it now: it cannot be shown again.",
        err=True,
    )


def _said(delivery: Delivery) -> str:
    """Returns what became of a notice, in words."""
    tries = f"{delivery.tries} {'try' if delivery.tries == 1 else 'tries'}"
    last = f": {delivery.answer}, {_time(delivery.tried_at)}" if delivery.answer else ""
    if delivery.state != "due":
        return f"{'delivered' if delivery.state == 'delivered' else 'given up'} after {tries}{last}"
    return f"due {_time(delivery.next_at)} after {tries}{last}" if delivery.tries else "due now"


def _time(moment: datetime | None) -> str:
    return time_text(moment) or "never"


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "org": endpoint.org,
        "url": endpoint.url,
        "kinds": None if endpoint.kinds is None else sorted(endpoint.kinds),
        "types": sorted(endpoint.types),
        "createdAt": time_text(endpoint.created_at),
        "disabled": endpoint.disabled,
    }


def _delivery_fields(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "jobId": delivery.job_id,
        "endpoint": delivery.endpoint,
        "state": delivery.state,
        "tries": delivery.tries,
        "triedAt": time_text(delivery.tried_at),
        "nextAt": time_text(delivery.next_at),
        "answer": delivery.answer,
    }
