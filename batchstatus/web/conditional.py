"""Conditional reads (RFC 9110 §13): entity tags, 304, and how soon to ask again.

A tag stands for one revision of a job. It bears the job's state in plain sight, so that a waiting read can
tell what has to differ: `W/"job-19ab04f2c3e-57-running"`. It is weak, because a heartbeat changes the body and
not the revision.
"""

import math
import re

from flask import Request
from werkzeug.datastructures import ETags
from werkzeug.http import parse_etags

from batchstatus.model.job import Job, Status
from batchstatus.model.messages import Seen
from batchstatus.web.responses import Headers

MAX_HEADER = 1_000
SOONEST_S, LATEST_S = 2, 5
_NONE = ETags()
_LIST = re.compile(r'\s*\*\s*|[\s,]*(?:(?:W/)?"[^"]*"\s*(?:,[\s,]*|$))+')
"""`*`, or entity tags with commas between (RFC 9110 §8.8.3, §5.6.1); werkzeug takes much more for that."""


def entity_tag(job: Job | Seen, part: str = "job") -> str:
    """The job's tag, without its `W/` and quotes. An id that is used again once its job expired gives others."""
    return f"{part}-{job.created_ms:x}-{job.rev}-{job.state}"


def known_state(request: Request) -> str | None:
    """Return the job's state as the caller knows it, from the one tag in If-None-Match; else None."""
    known = _given_tags(request).as_set(include_weak=True)
    return next(iter(known)).rpartition("-")[2] if len(known) == 1 else None


def poll_headers(job: Job, part: str = "job") -> Headers:
    """Return the headers of an answer to a poll: the job's entity tag, and how soon to ask again."""
    headers = [("ETag", f'W/"{entity_tag(job, part)}"'), ("Cache-Control", "private, no-cache")]
    if not job.terminal:
        headers.append(("Retry-After", str(retry_after_s(job))))
    return headers


def is_known(request: Request, job: Job, part: str = "job") -> bool:
    """Return True if the caller has this revision of the job already, so that 304 answers the request."""
    return has_tag(request, entity_tag(job, part))


def has_tag(request: Request, tag: str) -> bool:
    """Return True if the caller has what this entity tag stands for."""
    return _given_tags(request).contains_weak(tag)


def retry_after_s(job: Job) -> int:
    """How soon to ask again, 2 to 5 s: late for a job that waits, soon for one that is about to end."""
    waits = job.status is Status.QUEUED or "batchPaused" in job.metadata
    if waits or not job.total_items or not job.done or job.heartbeat_at is None:
        return LATEST_S if waits else (SOONEST_S + LATEST_S) // 2
    worked_s = (job.heartbeat_at - job.created_at).total_seconds()
    left_s = worked_s * (job.total_items - job.done) / job.done
    return max(SOONEST_S, min(LATEST_S, math.ceil(left_s)))


def _given_tags(request: Request) -> ETags:
    """If-None-Match; one that is malformed or absurdly long matches nothing."""
    given = request.environ.get("HTTP_IF_NONE_MATCH", "")
    return parse_etags(given) if 0 < len(given) <= MAX_HEADER and _LIST.fullmatch(given) else _NONE
