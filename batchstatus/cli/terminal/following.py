"""Follows a job for `watch`: by its events, and by looks at it when there are none for a while."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from batchstatus.cli.options import open_caller
from batchstatus.cli.terminal.progress import ProgressView
from batchstatus.cli.terminal.words import describe, outcome, to_json
from batchstatus.client import Client
from batchstatus.model.errors import BatchStatusError
from batchstatus.model.job import Job, Status

PROGRESS_S = 1.0
LOOK_S = 2.0
"""The time between two looks at a job; longer for one of very many parts, which are shown by looks alone."""
PARTS_A_SECOND = 400
WATCH_S = 60.0
"""How long `watch` bears a service that does not answer."""


def follow(url: str, api_key: str, job_id: str) -> Job:
    """Show a job until its end, and say in one line how it ended. Returns the ended job."""
    with open_caller(url, api_key, WATCH_S) as client:
        looking = open_caller(url, api_key, 0.0)
        view = ProgressView(now=looking.now, transient=True)
        try:
            with view, looks(looking, view, job_id):
                for job in client.watch(job_id, progress_s=PROGRESS_S):
                    view.heard(job_id)
                    view.update(job_id, job)
        except KeyboardInterrupt:
            if view.live:
                click.echo(view.standing(job_id))
            raise
    click.echo(outcome(job) if view.live else describe(job))
    return job


def follow_as_json(url: str, api_key: str, job_id: str) -> Job:
    """Print a job as on the wire at each change, until its end. Returns the ended job."""
    with open_caller(url, api_key, WATCH_S) as client:
        for job in client.watch(job_id, progress_s=PROGRESS_S):  # noqa: B007 - the last one is returned
            click.echo(to_json(client.wire(job_id)))
    return job


@contextmanager
def looks(client: Client, view: ProgressView, job_id: str) -> Iterator[None]:
    """Look at the job when no event has come for a while: a heartbeat is none, nor is a silence, nor a part."""
    over = threading.Event()
    if view.live:
        view.heard(job_id)  # a silence counts from here
        # Nobody waits for its end: a service that hangs would hold up Ctrl-C.
        threading.Thread(target=_look, args=(client, view, job_id, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _look(client: Client, view: ProgressView, job_id: str, over: threading.Event) -> None:
    pause_s, may_be_split = 0.0, True
    with client:
        while not over.wait(pause_s):
            if not may_be_split and view.heard_s_ago(job_id) < LOOK_S:
                continue
            pause_s = LOOK_S
            with suppress(BatchStatusError):  # the silence is shown; of a refusal the events tell
                shown = view.shown(job_id)
                job = client.get(job_id, progress=True)
                view.heard(job_id)
                if view.shown(job_id) is shown:  # else an event has come meanwhile, which is newer
                    view.update(job_id, job)
                if may_be_split:
                    parts = client.parts(job_id)
                    view.heard(job_id, parts)
                    may_be_split = bool(parts) or job.status is Status.QUEUED
                    pause_s = max(LOOK_S, len(parts) / PARTS_A_SECOND)
