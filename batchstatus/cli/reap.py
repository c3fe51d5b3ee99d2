"""`batchstatus reap`: a reaper without a service."""

import math
import signal
import time
from typing import Any

import click

from batchstatus.cli.options import StoreAt, agreed_options, kinds_option, store_options
from batchstatus.cli.webhooks import allow_option
from batchstatus.doctor import log_warnings
from batchstatus.model import values
from batchstatus.reaper import NOTES_S, Reaper
from batchstatus.settings import declared_kinds, webhooks_keys
from batchstatus.webhooks.dispatcher import Dispatcher
from batchstatus.webhooks.secrets import Secrets


@click.command()
@click.option("--once", is_flag=True, help="Take two looks, a grace apart, then exit: for cron.")
@agreed_options
@click.option(
    "--queued-at-most-s",
    envvar="BATCHSTATUS_QUEUED_AT_MOST_S",
    type=float,
    default=0.0,
    help="Cancel jobs that nobody started for so long. [env: BATCHSTATUS_QUEUED_AT_MOST_S]",
)
@allow_option
@store_options
@kinds_option
def reap(
    once: bool,
    agreed: dict[str, Any],
    queued_at_most_s: float,
    allow: str,
    at: StoreAt,
    kinds_file: str | None,
) -> None:
    """Settle jobs whose worker is gone, and forget expired jobs. A running service does both by itself.

    With BATCHSTATUS_WEBHOOKS_KEY, tell endpoints of the ends of jobs as well, as a service with that key does.
    """
    store = at.open(**agreed, queued_at_most_s=queued_at_most_s, kinds=declared_kinds(kinds_file))
    reaper = Reaper(store, notes_s=math.inf if once else NOTES_S)  # no later round of this process makes up for it
    keys, dispatcher = webhooks_keys(), None
    if keys:
        dispatcher = Dispatcher.of(store.connection, Secrets(keys), values.webhook_targets(allow))
    if once:
        _once(reaper, dispatcher, store.settings.grace_s)
        return
    store.ping()
    log_warnings(at.url, store.settings)
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # all threads inherit the mask; sigwait takes both
    for each in (reaper, dispatcher):
        if each:
            each.start()
    signal.sigwait(ending)
    for each in (reaper, dispatcher):
        if each:
            each.stop()


def _once(reaper: Reaper, dispatcher: Dispatcher | None, grace_s: float) -> None:
    settled = reaper.reap()
    time.sleep(grace_s + 0.05)
    settled += reaper.reap()
    reaper.sweep()
    click.echo(f"settled {settled} jobs")
    if dispatcher:
        dispatcher.dispatch()
        while dispatcher.under_way():
            time.sleep(0.05)
