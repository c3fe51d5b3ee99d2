"""`batchstatus run`: any program as a worker."""

import shutil
import signal
from typing import Any, NoReturn

import click

from batchstatus.cli.options import StoreAt, agreed_options, kinds_option, store_options
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import MAX_PARTS
from batchstatus.settings import declared_kinds
from batchstatus.worker.program import Program, ProgramFailed


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--org", required=True, metavar="O", help="The organization.")
@click.option("--create", "kind", metavar="KIND", help="Create the job first, unless it is there.")
@click.option("--takeover-s", type=float, default=0.0, help="Its takeover window in seconds, with --create.")
@click.option("--parts", type=click.IntRange(2, MAX_PARTS), help="Split it into so many parts, with --create.")
@click.option("--part", type=click.IntRange(1, MAX_PARTS), metavar="N", help="The part of a split job to run.")
@click.option("--wait-s", type=float, default=0.0, help="Seconds to wait for another worker's lease to run out.")
@click.option("--lease-s", type=float, default=30.0, show_default=True, help="Seconds that the lease lasts.")
@click.option("--cancel-s", type=float, default=10.0, show_default=True, help="Seconds from a cancel to SIGTERM.")
@agreed_options
@store_options
@kinds_option
@click.argument("job_id", metavar="JOB")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROGRAM [ARGUMENT]…")
def run(
    at: StoreAt,
    agreed: dict[str, Any],
    org: str,
    kind: str | None,
    job_id: str,
    command: tuple[str, ...],
    kinds_file: str | None,
    parts: int | None,
    part: int | None,
    **seconds: float,
) -> int:
    """Run a program as a job's worker: JSON lines on its standard output count rows, its exit ends the job."""
    if parts is not None and kind is None:
        raise click.UsageError("--parts goes with --create")
    if shutil.which(command[0]) is None:
        raise InvalidValue(f"there is no program {command[0]!r}")
    store = at.open(**agreed, lease_s=seconds["lease_s"], kinds=declared_kinds(kinds_file))
    signal.signal(signal.SIGTERM, _stop)
    if kind is not None:
        store.create(org, kind, job_id=job_id, takeover_s=seconds["takeover_s"], parts=parts)
    ended = False
    try:
        with store.run(org, job_id, wait_s=seconds["wait_s"], part=part) as entered:
            Program(entered, store.settings.kinds[entered.job.kind], command, seconds["cancel_s"], part).work()
            ended = True
    except ProgramFailed as failed:
        click.echo(f"batchstatus: the job has failed: {failed}", err=True)
        return 1
    left = store.get(org, job_id) if part is None else store.parts(org, job_id)[part - 1]
    return 0 if ended and left.status == "completed" else 1


def _stop(number: int, frame: Any) -> NoReturn:
    """Leave the run as told to stop: the program is ended, and the lease given back."""
    raise SystemExit(128 + number)
