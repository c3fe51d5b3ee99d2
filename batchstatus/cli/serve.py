"""`batchstatus serve`: run the service."""

import os

import click

from batchstatus.cli.options import kinds_option
from batchstatus.doctor import log_warnings
from batchstatus.model.errors import InvalidValue
from batchstatus.settings import Settings
from batchstatus.store import JobStore
from batchstatus.web.logs import configure
from batchstatus.web.server.serve import Server, checked_address


@click.command()
@click.option("--redis-url", metavar="URL", help="The store. [env: BATCHSTATUS_REDIS_URL]")
@click.option("--bind", metavar="HOST:PORT", help="Or unix:/PATH. Default 127.0.0.1:8000. [env: BATCHSTATUS_BIND]")
@click.option("--workers", metavar="N", help="Number of processes; default 2. [env: BATCHSTATUS_WORKERS]")
@kinds_option
def serve(redis_url: str | None, bind: str | None, workers: str | None, kinds_file: str | None) -> None:
    """Run the HTTP service until SIGTERM. Further settings: BATCHSTATUS_*, see docs/operations.md."""
    given = {"BATCHSTATUS_REDIS_URL": redis_url, "BATCHSTATUS_BIND": bind, "BATCHSTATUS_WORKERS": workers}
    given["BATCHSTATUS_KINDS"] = kinds_file
    settings = Settings.from_env({**os.environ, **{name: value for name, value in given.items() if value}})
    try:
        JobStore.open(settings.redis_url, settings.store)
    except InvalidValue as error:
        raise InvalidValue(f"BATCHSTATUS_REDIS_URL: {error}") from None
    settings = checked_address(settings)
    configure(settings.log_level)
    log_warnings(settings.redis_url, settings.store)
    where = settings.bind if settings.socket_path else f"http://{settings.bind}"
    click.echo(f"batchstatus serves {where} with {settings.workers} processes", err=True)
    Server(settings).run()
