"""`batchstatus doctor`: what is wrong with the store, or will be."""

import json

import click

from batchstatus.cli.options import StoreAt, json_option, min_replicas_option, store_options
from batchstatus.doctor import Finding, Level, examine

_SIGNS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red", Level.UNKNOWN: "cyan"}


@click.command()
@min_replicas_option
@store_options
@json_option
def doctor(min_replicas: int, at: StoreAt, as_json: bool) -> int:
    """Examine the store and say what to do. Nothing is written; ends with 1 if there is a problem."""
    found = examine(at.url, at.settings(min_replicas=min_replicas))
    if as_json:
        click.echo(json.dumps([each.to_dict() for each in found]))
    else:
        for each in found:
            _print(each)
    if found[0].level is Level.PROBLEM:  # the store could not be reached
        return 3
    return int(any(each.level is Level.PROBLEM for each in found))


def _print(found: Finding) -> None:
    click.echo(f"{click.style(f'{found.level:<11}', fg=_SIGNS[found.level])}  {found.check}: {found.message}")
    if found.remedy:
        click.echo(f"{'':<11}  -> {found.remedy}")
