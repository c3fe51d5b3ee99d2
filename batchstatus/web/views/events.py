"""`GET /batch-import/jobs/{jobId}/events` and `GET /batch-import/events`: what changes, as server-sent events.

A stream ends with its job, with an `error`, or because the process stops: then whoever listens comes again, to
another replica, and says with `Last-Event-ID` what it has.
"""

import socket
import time
from collections.abc import Iterable, Iterator
from random import randint, uniform

from batchstatus.model.errors import StoreUnavailable
from batchstatus.model.job import Job
from batchstatus.web.call import Call
from batchstatus.web.conditional import entity_tag
from batchstatus.web.errors import RETRY_AFTER_S, ApiError, response_to
from batchstatus.web.live.listeners import Listener
from batchstatus.web.permissions import caller, reader
from batchstatus.web.responses import Headers, Response, Streamed
from batchstatus.web.routing import Route

MEDIA_TYPE = "text/event-stream"

COMMENT_S = 15.0
"""The longest silence of a stream; a proxy would take a longer one for the end."""
CHECK_S = 0.25
"""A caller is checked within this time after it is not remembered any more."""
AGAIN_S = 0.1
"""How soon to look again where another listener's check serves for this one too."""
AWAY_S = 0.5
"""How soon to check again at the latest, where nobody could say who calls."""
HOST_S = 4.0
"""How often a caller is checked whom only the host's `authorize` knows, which may ask a database each time."""
GONE_S = 30.0
"""How long a stream bears a store that is away, in silence."""
SEND_BUFFER = 16 * 1024
"""Bytes that the system keeps for a listener that reads nothing, until the stream is closed."""

_NOT_STORED = [("Cache-Control", "no-store")]


def of_a_job(call: Call, job_id: str) -> Response:
    """Answer with the job now, at every change, and at its end; 204 to a caller that has seen the end."""
    org, last, known = reader(call, job_id).org, call.parts.feed.last, _known(call)
    with call.store as store:
        found = store.get(org, job_id)
    if found.terminal and known == f'W/"{entity_tag(found)}"':
        return Response(204, [*_NOT_STORED])
    return _streamed(call, Listener(org, job_id, known, last), [found])


def of_an_organization(call: Call) -> Response:
    """Answer with the organization's newest jobs that have not ended, now, at every change, and as they end."""
    found = caller(call)
    if found.job_id is not None:
        raise ApiError(403, "FORBIDDEN", "The ticket is for one job, and lists none.")
    last = call.parts.feed.last
    with call.store:
        jobs = call.parts.feed.newest(found.org)
    return _streamed(call, Listener(found.org, None, _known(call), last), jobs)


def _known(call: Call) -> str:
    """Return the entity tag that the caller has seen last; empty if it says none."""
    return str(call.request.environ.get("HTTP_LAST_EVENT_ID", ""))


def _streamed(call: Call, listener: Listener, jobs: Iterable[Job]) -> Response:
    if not call.parts.feed.ticks.has_room():
        raise _too_many()
    headers: Headers = [("Content-Type", MEDIA_TYPE), *_NOT_STORED, ("X-Accel-Buffering", "no")]
    return Streamed(200, headers, _pieces(call, listener, jobs))


def _pieces(call: Call, listener: Listener, jobs: Iterable[Job]) -> Iterator[bytes]:
    """Yield the stream. The listener is there from the first piece on, and until the generator is closed."""
    connection: socket.socket | None = call.request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    with call.parts.feed.listening(listener, jobs) as there:
        # Those whose replica has stopped do not all come at once.
        yield b"retry: %d\n\n" % randint(1_000, 3_000)
        yield from _Stream(call, listener).pieces() if there else [_error(call, _too_many())]


class _Stream:
    """What is sent to one listener, until when its caller is known, and when it was last sent something."""

    def __init__(self, call: Call, listener: Listener) -> None:
        self._call, self._listener, self._feed = call, listener, call.parts.feed
        self._sent_at, self._is_known = time.monotonic(), True
        self._known_until, self._check_at = 0.0, 0.0
        self._checked()

    def pieces(self) -> Iterator[bytes]:
        """Yield what there is to send, until the end."""
        over = False
        while not over:
            piece, over = self._next()
            if not piece and time.monotonic() - self._sent_at >= COMMENT_S:
                piece = b":\n\n"
            if piece:
                self._sent_at = time.monotonic()
                yield piece
            if not over:
                self._wait()

    def _next(self) -> tuple[bytes, bool]:
        """Return what is to be sent now, and True if nothing follows."""
        if self._feed.ticks.closed:
            return b"", True
        try:
            return self._news() if self._may_hear() else (b"", False)
        except StoreUnavailable as error:
            gone = self._feed.is_lost(GONE_S) or time.monotonic() - self._known_until >= GONE_S
            return (_error(self._call, error), True) if gone else (b"", False)
        except Exception as error:  # whatever ends it is told, as it would be to a request
            return _error(self._call, error), True

    def _news(self) -> tuple[bytes, bool]:
        found, job_id = self._feed.news(self._listener), self._listener.job_id
        ended = job_id is not None and any(each.ended for each in found)
        if ended and found[-1].text is None:  # gone, or damaged: asking says which
            try:
                with self._call.asked_anew().store as store:
                    store.get(self._listener.org, str(job_id))
            except StoreUnavailable:
                self._listener.number = found[-1].number - 1  # this end is news again, once somebody can say which
                raise
        return b"".join(each.text for each in found if each.text), ended

    def _may_hear(self) -> bool:
        """Returns True if the caller is known, and False while that is being asked.

        Raises what a new request of this caller would be refused with; StoreUnavailable while nobody can say.
        """
        now = time.monotonic()
        if now < self._check_at:
            return self._is_known
        self._is_known, self._check_at = False, now + AGAIN_S
        with self._feed.checking(self._call.parts.access.api_key(self._call.request)) as is_first:
            if not is_first:
                return False
            self._check_at = now + AWAY_S * uniform(0.5, 1.0)
            call, job_id = self._call.asked_anew(), self._listener.job_id
            found = caller(call) if job_id is None else reader(call, job_id)
        if found.org != self._listener.org:
            raise ApiError(403, "FORBIDDEN", "The caller belongs to another organization now.")
        if self._feed.is_lost(GONE_S):
            raise StoreUnavailable("the store has not answered for long")
        self._checked()
        return True

    def _checked(self) -> None:
        """Note that the caller is known now, and when to check again: those with one key one after another."""
        now, remembered_until = time.monotonic(), self._call.parts.access.remembered_until(self._call.request)
        self._is_known, self._known_until = True, max(now, remembered_until or 0.0)
        due_at = now + HOST_S if remembered_until is None else self._known_until
        self._check_at = due_at + CHECK_S * uniform(0.0, 1.0)

    def _wait(self) -> None:
        """Return when there may be news, or it is time to check or to say something: a look tells of both."""
        self._listener.due_at = min(self._check_at, self._sent_at + COMMENT_S)
        self._listener.woken.wait()  # a time limit would cost as much as all else that a wake does
        self._listener.woken.clear()


def _error(call: Call, error: Exception) -> bytes:
    """Return the event that says how the stream ends."""
    return b"event: error\ndata: %s\n\n" % response_to(call, error).content()


def _too_many() -> ApiError:
    retry = {"Retry-After": str(RETRY_AFTER_S)}
    return ApiError(503, "TOO_MANY_LISTENERS", "This process has no room for another listener.", headers=retry)


ROUTES = (
    Route("/batch-import/jobs/<job_id>/events", "job_events", of_a_job),
    Route("/batch-import/events", "events", of_an_organization),
)
