"""`batchstatus reap`: a reaper without a service."""

import signal
import time

import click

from batchstatus.cli.options import prefix_option, redis_option
from batchstatus.connecting import connect
from batchstatus.reaper import Reaper


@click.command()
@click.option("--once", is_flag=True, help="Take two looks, a grace apart, then exit: for cron.")
@click.option("--grace-s", type=float, default=3.0, show_default=True, help="Seconds between the two looks.")
@redis_option
@prefix_option
def reap(once: bool, grace_s: float, redis_url: str, prefix: str) -> None:
    """Settle jobs whose worker is gone, and forget expired jobs. A running service does both by itself."""
    store = connect(redis_url, prefix=prefix, grace_s=grace_s)
    reaper = Reaper(store)
    if once:
        settled = reaper.reap()
        time.sleep(grace_s + 0.05)
        settled += reaper.reap()
        reaper.sweep()
        click.echo(f"settled {settled} jobs")
        return
    store.ping()
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # the reaper's thread inherits the mask; sigwait takes both
    reaper.start()
    signal.sigwait(ending)
    reaper.stop()
