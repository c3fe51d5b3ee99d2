"""Reads server-sent events: a job as it changes, over one request, for as long as the connection holds."""

import json
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import NamedTuple, NoReturn

from batchstatus.client import answers
from batchstatus.model.errors import CODE, JobNotFound, Refused, ServiceUnavailable
from batchstatus.model.job import Job

MEDIA_TYPE = "text/event-stream"
SILENCE_S = 20
"""A stream that is silent for longer than this and the client's timeout is dead: a comment comes every 15 s."""
MAX_LINE = 1 << 20
"""Most bytes of a line; a job's metadata has at most 16 KiB."""


class Event(NamedTuple):
    """One event: its name, the last `id` that was sent, and its data."""

    name: str
    tag: str
    data: str


def events(response: HTTPResponse, tag: str = "") -> Iterator[Event]:
    """Yield the events of a stream (WHATWG HTML §9.2.6). Raises Transient where the stream breaks off."""
    name, data = "", list[str]()
    for line in _lines(response):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name or "message", tag, "\n".join(data))
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            tag = value


def jobs(response: HTTPResponse, tag: str = "") -> Iterator[tuple[str, Job]]:
    """Yield each job of a stream with its tag. Raises Transient where the stream ends and the job has not."""
    if response.status == 204:
        return
    answers.expect(response, MEDIA_TYPE)
    for event in events(response, tag):
        if job := job_of(event, str(response.url)):
            yield event.tag, job
    raise answers.Transient(f"{response.url}: the stream has ended, and the job has not")


def job_of(event: Event, url: str) -> Job | None:
    """Returns the job of an event; None for an event of another kind. Raises what an `error` event stands for."""
    if event.name == "error":
        _refuse(event, url)
    if event.name != "job":
        return None
    try:
        return answers.job(json.loads(event.data))
    except answers.MALFORMED as error:
        raise answers.Transient(f"{url}: an event that makes no sense ({error!r:.300})") from error


def _lines(response: HTTPResponse) -> Iterator[str]:
    try:
        while line := response.readline(MAX_LINE):
            if not line.endswith(b"\n"):
                raise answers.Transient(f"{response.url}: an event was cut short, or is too long")
            yield line.rstrip(b"\r\n").decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise answers.Transient(f"{response.url}: cut short ({error!r})") from error


def _refuse(event: Event, url: str) -> NoReturn:
    try:
        code, message = (answers.typed(json.loads(event.data)["error"][name], str) for name in ("code", "message"))
    except answers.MALFORMED as error:
        raise answers.Transient(f"{url}: an event that makes no sense ({error!r:.300})") from error
    said = f"{url}: {code if CODE.fullmatch(code) else '?'}: {message!r:.300}"
    if code in ("UNAUTHENTICATED", "FORBIDDEN"):
        raise Refused(said)
    if code == "JOB_NOT_FOUND":
        raise JobNotFound(said)
    raise ServiceUnavailable(said) if code == "INTERNAL_ERROR" else answers.Transient(said)
