"""`make chaos`: try every fault at full length, on real processes, and print the results as a table.

The exit code is 1 if anything was lost or wrong, or if a fault could not be tried to its end.
"""

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import batchstatus
from batchstatus.embedded import EmbeddedServer
from tests.chaos.away import store_hangs, store_restarts
from tests.chaos.clocks import workers_vanish
from tests.chaos.failovers import cluster_primary_killed, sentinel_primary_killed
from tests.chaos.finding import Finding
from tests.chaos.forgetting import scripts_forgotten
from tests.chaos.frozen import cluster_primary_frozen, sentinel_primary_frozen
from tests.chaos.full import store_full
from tests.chaos.killing import Killing
from tests.chaos.lost_index import cluster_index_hangs, cluster_index_lost
from tests.chaos.lost_slots import cluster_slots_hang, cluster_slots_lost
from tests.chaos.parts import parts_killed
from tests.chaos.racing import Races
from tests.chaos.refusals import REFUSALS, store_is_read_only, store_refuses
from tests.chaos.telling import dispatchers_killed
from tests.support.output import Output
from tests.support.service import LiveService

SHOWN, LOG_WIDTH = 5, 140
COLUMNS = ("tried", "acknowledged", "lost", "wrong answers", "recovery", "took")


def workers_killed() -> Finding:
    """Kill fifty workers while they report."""
    with EmbeddedServer() as server:
        return Killing(server.url).finding(50)


def workers_of_parts_killed() -> Finding:
    """Kill twenty of eight workers on one split job."""
    with EmbeddedServer() as server:
        return parts_killed(server.url, 20)


def tellers_killed() -> Finding:
    """Kill two hundred processes that tell of the ends of jobs."""
    with EmbeddedServer() as server:
        return dispatchers_killed(server.url, 200)


def cancels_race_ends() -> Finding:
    """Run a thousand races between a cancel and the end of a job."""
    with EmbeddedServer() as server, LiveService(server.url) as service:
        store = batchstatus.connect(server.url)
        found = Races(store, service.port).finding(1_000)
        store.close()
        return found


FAULTS: tuple[Callable[[], Finding], ...] = (
    partial(sentinel_primary_killed, 5),
    sentinel_primary_frozen,
    partial(cluster_primary_killed, 3),
    cluster_primary_frozen,
    partial(cluster_slots_lost, 10.0),
    partial(cluster_slots_hang, 10.0),
    cluster_index_lost,
    cluster_index_hangs,
    partial(store_hangs, 3),
    partial(store_hangs, 2, replicas_too=True),
    partial(store_restarts, 3),
    partial(store_restarts, 2, replicas_too=True),
    *(partial(store_refuses, why) for why in REFUSALS),
    store_is_read_only,
    store_full,
    scripts_forgotten,
    workers_killed,
    workers_of_parts_killed,
    partial(workers_vanish, 20),
    tellers_killed,
    cancels_race_ends,
)


def main() -> int:
    """Try every fault, print each result as it comes, then the table. Returns the exit code."""
    console = Console()
    if not console.is_terminal:
        console.width = LOG_WIDTH
    table = Table("fault")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    clean = True
    for fault in FAULTS:
        began = time.monotonic()
        Output.forget()
        try:
            found = fault()
        except Exception:  # try the other faults all the same
            clean = False
            name = getattr(fault, "func", fault).__name__
            console.print(f"{name} could not be tried to its end:\n{escape(traceback.format_exc())}")
            _print_output(console)
            table.add_row(name, *["?"] * (len(COLUMNS) - 1), f"{time.monotonic() - began:.0f} s")
        else:
            clean = clean and found.clean
            _report(console, found)
            table.add_row(*_row(found), f"{time.monotonic() - began:.0f} s")
    console.print(table)
    return 0 if clean else 1


def _report(console: Console, found: Finding) -> None:
    """Print one line for a clean finding; for any other, also the first things lost or wrong."""
    console.print(f"{'ok' if found.clean else 'NOT OK'}  {escape(found.fault)}")
    for name, each in (("lost", found.lost), ("wrong", found.wrong)):
        for what in each[:SHOWN]:
            console.print(f"    {name}: {escape(what)}")
        if len(each) > SHOWN:
            console.print(f"    {name}: … and {len(each) - SHOWN:,} more")
    if not found.clean:
        _print_output(console)


def _print_output(console: Console) -> None:
    """Print what the services of the last fault have printed."""
    for name, text in Output.sections():
        console.print(f"--- {name}\n{escape(text)}")


def _row(found: Finding) -> tuple[str, ...]:
    recovery = "" if found.recovery_s is None else f"{found.recovery_s:.1f} s"
    counted = (found.tried, found.acknowledged, len(found.lost), len(found.wrong))
    return (escape(found.fault), *(f"{number:,}" for number in counted), recovery)


if __name__ == "__main__":
    sys.exit(main())
