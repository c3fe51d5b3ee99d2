"""Options that several commands share."""

import re
from collections.abc import Callable
from typing import Any

import click

from batchstatus.client import Client

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd])")

Command = Callable[..., Any]


class Duration(click.ParamType[float]):
    """A duration such as 45s, 30m, 12h or 90d, converted to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the duration in seconds."""
        match = _DURATION.fullmatch(str(value))
        if not match:
            self.fail(f"{value!r} is not a duration such as 45s, 30m, 12h or 90d", param, ctx)
        return float(int(match[1]) * _UNITS_S[match[2]])


def caller_options(command: Command) -> Command:
    """Add the options of a caller: the service's URL and the API key."""
    command = click.option(
        "--api-key", envvar="BATCHSTATUS_API_KEY", required=True, metavar="KEY", help="[env: BATCHSTATUS_API_KEY]"
    )(command)
    return click.option(
        "--url", envvar="BATCHSTATUS_URL", required=True, metavar="URL", help="The service. [env: BATCHSTATUS_URL]"
    )(command)


def redis_option(command: Command) -> Command:
    """Add the option for the store's URL."""
    return click.option(
        "--redis-url",
        envvar="BATCHSTATUS_REDIS_URL",
        required=True,
        metavar="URL",
        help="The store. [env: BATCHSTATUS_REDIS_URL]",
    )(command)


def prefix_option(command: Command) -> Command:
    """Add the option for the prefix of the store's keys."""
    return click.option(
        "--prefix",
        envvar="BATCHSTATUS_PREFIX",
        default="batchstatus",
        show_default=True,
        help="The first part of every key in the store. [env: BATCHSTATUS_PREFIX]",
    )(command)


def json_option(command: Command) -> Command:
    """Add the option for machine-readable output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def open_caller(url: str, api_key: str) -> Client:
    """Returns a client for a single request, which gives up sooner than one that watches a job."""
    return Client(url, api_key, give_up_s=10.0)
