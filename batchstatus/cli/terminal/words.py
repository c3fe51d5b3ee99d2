"""What the command line says of a job: its name, its state in words, its pace, how it ended, what to do next."""

import json
import re
import unicodedata
from datetime import datetime
from typing import Any

from batchstatus.model.job import Job, Status

QUIET_S = 10.0
"""A worker that has sent no heartbeat for longer is said to be silent."""

_REQUESTS = {
    "batchCancelRequested": "cancelling",
    "batchAwaitingWorker": "waiting for a worker",
    "batchPaused": "paused",
    "batchPauseRequested": "pausing",
}
"""For each control flag, its word. Of several flags, the first here counts."""

_SHORT_ID = 20
_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "min": 60.0}
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_VARIATION = re.compile("[\ufe00-\ufe0f]")


def clean(text: str) -> str:
    """Returns a text as one line that a terminal shows as it is.

    Controls, and characters that Python does not know, become U+FFFD; those that are invisible go. Terminals
    disagree on the width of joined emoji, so the joiners and variation selectors go too.
    """
    return " ".join("".join(map(_shown, _VARIATION.sub("", text))).split())


def to_json(body: Any) -> str:
    """Returns a body as one line of JSON. Characters that a terminal would obey, or cannot print, are escaped."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(body, ensure_ascii=False))


def name_of(job: Job) -> str:
    """Returns the file name, or a short id where the job has none."""
    name = job.metadata.get("fileName")
    return (clean(name) if isinstance(name, str) else "") or short(job.job_id)


def short(job_id: str) -> str:
    """Returns an id that fits beside a bar. The end tells UUIDs apart: they begin with the time."""
    return clean(job_id) if len(job_id) <= _SHORT_ID else f"…{clean(job_id[-12:])}"


def state(job: Job) -> str:
    """Returns the status as a word, with what control asks: `paused`, `cancelling`, `waiting for a worker` …"""
    if job.status is Status.RUNNING:
        return next((word for flag, word in _REQUESTS.items() if flag in job.metadata), "running")
    if job.status is Status.QUEUED and "batchPauseRequested" in job.metadata:
        return "queued, will pause"
    return job.status.value


def silence(job: Job, now: datetime) -> str:
    """Returns `last heartbeat 20 s ago` for a job whose worker is silent, else an empty text."""
    at_work = job.status is Status.RUNNING and "batchAwaitingWorker" not in job.metadata
    if not at_work or job.heartbeat_at is None:
        return ""
    seconds = (now - job.heartbeat_at).total_seconds()
    return f"last heartbeat {duration(seconds)} ago" if seconds > QUIET_S else ""


def rate(job: Job) -> str:
    """Returns `1,200 rows/s`; an empty text while the pace is not known."""
    found = job.progress.rows_per_second
    if found is None:
        return ""
    return f"{found:,.0f} rows/s" if found >= 10 or found == int(found) else f"{found:.1f} rows/s"


def time_left(job: Job, *, interval: bool = True) -> str:
    """Returns `5 min left (3 min to 14 min)`; an empty text while the time is not known."""
    found = job.progress
    if found.seconds_left is None:
        return ""
    left, low, high = f"{duration(found.seconds_left)} left", found.seconds_left_low, found.seconds_left_high
    if not interval or low is None or high is None:
        return left
    return f"{left} ({duration(low)} to {duration(high)})"


def pace(job: Job) -> str:
    """Returns `1,200 rows/s, 5 min left (3 min to 14 min)`, as far as it is known."""
    return ", ".join(filter(None, (rate(job), time_left(job))))


def duration(seconds: float) -> str:
    """Returns a time in the unit that suits it: `40 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length_s in _UNITS_S.items():
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def describe(job: Job, now: datetime | None = None) -> str:
    """Returns a job in one line, followed by a line with its failure, if any. `now` is the service's time."""
    line = (
        f"{clean(job.job_id)}: {state(job)}, {extent(job)}: "
        f"{job.succeeded:,} succeeded, {job.failed:,} failed, {job.skipped:,} skipped"
    )
    if going := (now and silence(job, now)) or pace(job):
        line += f", {going}"
    return f"{line}\n{_reason(job)}" if job.job_failure else line


def extent(job: Job) -> str:
    """Returns `412 of 1,000 rows`."""
    return f"{job.done:,} of {'?' if job.total_items is None else format(job.total_items, ',')} rows"


def outcome(job: Job) -> str:
    """Returns how a job ended, and what to do next, in one line."""
    counts = ((job.succeeded, "succeeded"), (job.failed, "failed"), (job.skipped, "skipped"))
    rows = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "no rows"
    done = f"after {_far(job)}" if job.done else "before its first row"
    said = {
        Status.COMPLETED: f"completed: {rows}",
        Status.FAILED: f"failed {done}: {_reason(job)}".removesuffix(": "),
        Status.CANCELLED: f"cancelled {done}",
        Status.INTERRUPTED: f"interrupted {done}: its worker is gone, and none took over",
    }
    line = f"{name_of(job)} {said[job.status].removesuffix('.')}."
    return f"{line} See: batchstatus failures {clean(job.job_id)}" if job.failed else line


def standing(job: Job, now: datetime) -> str:
    """Returns how a job stands that nobody watches any more, and how to come back, in one line."""
    going = silence(job, now) or f"{job.failed:,} failed"
    line = f"{name_of(job)}: {state(job)}, {_far(job)}, {going}."
    return f"{line} Go on: batchstatus watch {clean(job.job_id)}"


def _far(job: Job) -> str:
    return extent(job) if job.total_items else f"{job.done:,} {'row' if job.done == 1 else 'rows'}"


def _reason(job: Job) -> str:
    failure = job.job_failure
    return f"{clean(failure.code)}: {clean(failure.message)}" if failure else ""


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) == "Cf":
        return ""
    return character if character.isprintable() else "\ufffd"
