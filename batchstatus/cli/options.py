"""Options that several commands share."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from batchstatus.client import Client
from batchstatus.client.answers import Unanswered
from batchstatus.model.errors import InvalidValue, Refused, ServiceUnavailable, StoreUnavailable
from batchstatus.settings import DAY_S, StoreSettings
from batchstatus.store import JobStore

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

URL, API_KEY, REDIS_URL = "BATCHSTATUS_URL", "BATCHSTATUS_API_KEY", "BATCHSTATUS_REDIS_URL"
_GIVES = {URL: "service", API_KEY: "API key", REDIS_URL: "store"}

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


class Moment(click.ParamType[str]):
    """A time for the service, or a date, which is its first instant in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the time as the service takes it. The service judges anything but a date."""
        return f"{value}T00:00:00Z" if _DATE.fullmatch(value) else value


def caller_options(command: Command) -> Command:
    """Add the options of a caller, the service's URL and the API key, and name the variable in an error."""

    @wraps(command)
    def with_service(url: str, api_key: str, **given: Any) -> Any:
        try:
            return command(url=url, api_key=api_key, **given)
        except Refused as error:
            raise Refused(f"{error} ({API_KEY})") from error
        except ServiceUnavailable as error:
            # A client that has tried again gives up with an error of its own.
            if found := next((each for each in (error, error.__cause__) if isinstance(each, Unanswered)), None):
                raise ServiceUnavailable(f"{url} cannot be reached: {_reason(found.__cause__)} ({URL})") from error
            raise

    key = click.option("--api-key", envvar=API_KEY, required=True, metavar="KEY", help=f"[env: {API_KEY}]")
    at = click.option("--url", envvar=URL, required=True, metavar="URL", help=f"The service. [env: {URL}]")
    return at(key(with_service))


def _reason(error: BaseException | None) -> str:
    """Returns what a socket says went wrong: `Connection refused`."""
    return str(getattr(error, "strerror", None) or error or repr(error))


def missing(error: click.MissingParameter) -> str:
    """Returns what is missing: an option that a variable may give too is named with the variable."""
    option = error.param
    if option is None or option.envvar not in _GIVES:
        return error.format_message()
    return f"no {_GIVES[option.envvar]}: give {option.opts[0]} or set {option.envvar}"


@dataclass(frozen=True)
class StoreAt:
    """The store that a command's options name."""

    url: str
    options: dict[str, Any]

    def settings(self, **others: Any) -> StoreSettings:
        """Returns the store's settings, these options and others."""
        return StoreSettings(**self.options, **others)

    def open(self, **others: Any) -> JobStore:
        """Returns the store. Nothing is sent. Raises InvalidValue that names the variable."""
        try:
            return JobStore.open(self.url, self.settings(**others))
        except InvalidValue as error:
            # The first word of the message is the setting's name, if it is about one.
            option = f"--{str(error).partition(' ')[0].replace('_', '-')}"
            option = "--redis-url" if str(error).startswith("the store's URL") else option
            if option not in STORE_OPTIONS:
                raise
            raise InvalidValue(f"{error} ({STORE_OPTIONS[option][0]})") from None


STORE_OPTIONS = {
    "--redis-url": (REDIS_URL, "The store."),
    "--prefix": ("BATCHSTATUS_PREFIX", "The first part of every key in the store; default batchstatus."),
    "--tls-ca-file": (
        "BATCHSTATUS_TLS_CA_FILE",
        "Certificates, in PEM, of authorities to trust beside the system's.",
    ),
    "--tls-cert-file": ("BATCHSTATUS_TLS_CERT_FILE", "The certificate, in PEM, that the server asks for."),
    "--tls-key-file": ("BATCHSTATUS_TLS_KEY_FILE", "The certificate's key, in PEM."),
    "--sentinel-username": ("BATCHSTATUS_SENTINEL_USERNAME", "The user of the Sentinels."),
    "--sentinel-password": ("BATCHSTATUS_SENTINEL_PASSWORD", "The password of the Sentinels."),
}
"""The options for a store, their variables, and what they say."""


def store_options(command: Command) -> Command:
    """Add the options for the store; the command gets them as `at`, a StoreAt."""

    @wraps(command)
    def with_store(redis_url: str, **given: Any) -> Any:
        options = {_name(each): given.pop(_name(each)) for each in STORE_OPTIONS if each != "--redis-url"}
        at = StoreAt(redis_url, {name: value for name, value in options.items() if value})
        try:
            return command(at=at, **given)
        except StoreUnavailable as error:
            if type(error) is not StoreUnavailable:  # it was reached, and has refused
                raise
            raise StoreUnavailable(f"{error} ({REDIS_URL})") from error

    for option, (variable, says) in reversed(STORE_OPTIONS.items()):
        with_store = click.option(
            option,
            envvar=variable,
            required=option == "--redis-url",
            metavar="URL" if option == "--redis-url" else None,
            help=f"{says} [env: {variable}]",
        )(with_store)
    return with_store


def _name(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def kinds_option(command: Command) -> Command:
    """Add the option for the file that declares kinds."""
    return click.option(
        "--kinds",
        "kinds_file",
        envvar="BATCHSTATUS_KINDS",
        metavar="FILE",
        help="TOML file that declares the kinds. [env: BATCHSTATUS_KINDS]",
    )(command)


def min_replicas_option(command: Command) -> Command:
    """Add the option for the number of replicas that must confirm a write."""
    return click.option(
        "--min-replicas",
        type=click.IntRange(0),
        envvar="BATCHSTATUS_MIN_REPLICAS",
        default=0,
        help="How many Redis replicas must confirm a write. [env: BATCHSTATUS_MIN_REPLICAS]",
    )(command)


def agreed_options(command: Command) -> Command:
    """Add the settings that all who write to a store agree on; the command gets them as `agreed`."""

    @wraps(command)
    def with_agreed(grace_s: float, retention_days: float, min_replicas: int, **given: Any) -> Any:
        agreed = {"grace_s": grace_s, "retention_s": retention_days * DAY_S, "min_replicas": min_replicas}
        return command(agreed=agreed, **given)

    grace = click.option(
        "--grace-s",
        type=float,
        envvar="BATCHSTATUS_GRACE_S",
        default=StoreSettings.grace_s,
        show_default=True,
        help="Seconds between the two looks at a job past its lease. [env: BATCHSTATUS_GRACE_S]",
    )
    retention = click.option(
        "--retention-days",
        type=float,
        envvar="BATCHSTATUS_RETENTION_DAYS",
        default=StoreSettings.retention_s / DAY_S,
        show_default=True,
        help="Days that a job is kept after the last write. [env: BATCHSTATUS_RETENTION_DAYS]",
    )
    return grace(retention(min_replicas_option(with_agreed)))


def json_option(command: Command) -> Command:
    """Add the option for machine-readable output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def open_caller(url: str, api_key: str, give_up_s: float = 10.0) -> Client:
    """Returns a client of the service. Raises InvalidValue that names the variable."""
    try:
        return Client(url, api_key, give_up_s=give_up_s)
    except InvalidValue as error:
        raise InvalidValue(f"{error} ({API_KEY if str(error).startswith('api_key') else URL})") from None
