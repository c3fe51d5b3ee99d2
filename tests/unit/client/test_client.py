"""The polling client, against a server that answers from a script and with a clock that is ours."""

import io
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from batchstatus.client import Client
from batchstatus.client import client as module
from batchstatus.errors import InvalidTransition, InvalidValue, JobNotFound, Refused, ServiceUnavailable
from batchstatus.model import Action, Job, JobFailure, Kind, Status

KEY = "bsk_verysecret"
HTML = b"<html>Bad gateway</html>"
APPLIED = {"Preference-Applied": "wait=30"}


# What the server answers


@dataclass
class Answer:
    """One answer: its bytes, whether the connection is cut after them, and how long it was held."""

    raw: bytes
    cut: bool = False
    held_s: float = 0.0
    hold: Callable[[], object] = lambda: None


def answer(
    status: int = 200, body: bytes = b"", kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> Answer:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Answer("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def wire(**changes: Any) -> dict[str, Any]:
    return {
        "jobId": "J",
        "kind": "transaction_batch",
        "status": "running",
        "totalItems": 1000,
        "succeeded": 412,
        "failed": 3,
        "skipped": 0,
        "heartbeatAt": "2026-11-23T15:04:05.123Z",
        "leaseExpiresAt": "2026-11-23T15:04:35.123Z",
        "workerError": None,
        "createdAt": "2026-11-23T15:03:00.000Z",
        "completedAt": None,
        "metadata": {"fileName": "november.csv"},
    } | changes


def ok(headers: Mapping[str, str] | None = None, **changes: Any) -> Answer:
    return answer(body=json.dumps({"success": True, "job": wire(**changes)}).encode(), headers=headers)


def done(**changes: Any) -> Answer:
    return ok(status="completed", **changes)


def tagged(tag: str, headers: Mapping[str, str] | None = None, **changes: Any) -> Answer:
    return ok({"ETag": tag, **(headers or {})}, **changes)


def unchanged(tag: str, held_s: float = 0.0, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = answer(304, headers={"ETag": tag, **named})
    return Answer(given.raw.replace(b"Content-Length: 0\r\n", b""), held_s=held_s)


def held(tag: str) -> Answer:
    return unchanged(tag, held_s=30, Preference_Applied="wait=30")


def error(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"success": False, "error": {"code": code, "message": "because"}}
    return answer(status, json.dumps(body).encode(), headers=headers)


def page(status: int) -> Answer:
    return answer(status, HTML, "text/html")


def csv(body: bytes = b"external_id,code,error\r\n") -> Answer:
    return answer(body=body, kind="text/csv; charset=utf-8")


def cut(whole: Answer, missing: int) -> Answer:
    return Answer(whole.raw[:-missing], cut=True)


NO_ANSWER = Answer(b"", cut=True)


# The server and the clock


@dataclass
class Request:
    target: str
    headers: dict[str, str]
    connection: int
    method: str = "GET"
    body: bytes = b""


@dataclass
class Clock:
    """Time that passes only when someone sleeps or a scripted answer is held; both are recorded."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)
    jitters: list[tuple[float, float]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def most(self, least: float, most: float) -> float:
        self.jitters.append((least, most))
        return most


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.number = self.server.connections

    def finish(self) -> None:
        super().finish()
        self.server.ended.release()

    def do_GET(self) -> None:
        given = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(given.get("content-length", 0)))
        self.server.requests.append(Request(self.path, given, self.number, self.command, body))
        step = self.server.script.popleft() if self.server.script else None
        if step is None:
            self.server.overrun = True
        else:
            step.hold()
            self.server.clock.now += step.held_s
            self.wfile.write(step.raw)
        self.close_connection = step is None or step.cut

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clock = clock
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self.overrun = False
        self.url = f"http://127.0.0.1:{self.server_port}"

    def says(self, *answers: Answer) -> None:
        self.script.extend(answers)

    def asked(self, header: str) -> list[str | None]:
        return [request.headers.get(header) for request in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "sleep", clock.sleep)
    monkeypatch.setattr(module, "monotonic", clock.monotonic)
    monkeypatch.setattr(module, "uniform", clock.most)
    return clock


@pytest.fixture
def server(clock: Clock) -> Iterator[Server]:
    with Server(clock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.001,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    assert not server.overrun, "more was asked than the script has answers"
    assert not server.script, "less was asked than the script has answers"


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, KEY) as client:
        yield client


@pytest.fixture
def nowhere() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# One poll


def test_a_poll_gives_the_job(client: Client, server: Server) -> None:
    server.says(ok(completedAt="2026-11-23T16:05:00.500+01:00"))
    assert client.get("J") == Job(
        job_id="J",
        kind=Kind.TRANSACTION_BATCH,
        status=Status.RUNNING,
        total_items=1000,
        succeeded=412,
        failed=3,
        skipped=0,
        heartbeat_at=datetime(2026, 11, 23, 15, 4, 5, 123000, UTC),
        lease_expires_at=datetime(2026, 11, 23, 15, 4, 35, 123000, UTC),
        worker_error=None,
        created_at=datetime(2026, 11, 23, 15, 3, tzinfo=UTC),
        completed_at=datetime(2026, 11, 23, 15, 5, 0, 500000, UTC),
        metadata={"fileName": "november.csv"},
    )


def test_its_kind_and_status_are_enums_and_its_times_utc(client: Client, server: Server) -> None:
    server.says(ok(createdAt="2026-11-23T16:03:00.000+01:00"))
    job = client.get("J")
    assert (type(job.kind), type(job.status), job.created_at.tzinfo) == (Kind, Status, UTC)


def test_a_queued_job_has_nulls(client: Client, server: Server) -> None:
    server.says(ok(status="queued", totalItems=None, heartbeatAt=None, leaseExpiresAt=None))
    job = client.get("J")
    assert (job.total_items, job.heartbeat_at, job.lease_expires_at) == (None, None, None)


@pytest.mark.parametrize("details", [{}, {"details": {"rows": [5]}}])
def test_a_failed_job_says_why(client: Client, server: Server, details: dict[str, Any]) -> None:
    server.says(ok(status="failed", jobFailure={"code": "WORKER_ERROR", "message": "boom", **details}))
    assert client.get("J").job_failure == JobFailure("WORKER_ERROR", "boom", details.get("details"))


def test_members_that_are_not_known_are_ignored(client: Client, server: Server) -> None:
    server.says(ok(etaSeconds=12))
    assert client.get("J").succeeded == 412


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "exploded"},
        {"status": []},
        {"kind": "teapot_batch"},
        {"jobId": 7},
        {"succeeded": "412"},
        {"failed": True},
        {"skipped": 1.0},
        {"totalItems": "1000"},
        {"createdAt": None},
        {"createdAt": "2026-11-23T15:03:00.000"},
        {"createdAt": "yesterday"},
        {"completedAt": "0001-01-01T00:00:00+10:00"},
        {"heartbeatAt": 1764000000},
        {"workerError": 5},
        {"metadata": None},
        {"jobFailure": "boom"},
        {"jobFailure": {}},
        {"jobFailure": {"code": 1, "message": "boom"}},
    ],
)
def test_a_member_that_is_not_what_it_must_be_is_a_broken_answer(
    client: Client, server: Server, changes: dict[str, Any]
) -> None:
    server.says(ok(**changes))
    with pytest.raises(ServiceUnavailable, match="makes no sense"):
        client.get("J")


@pytest.mark.parametrize("name", list(wire()))
def test_so_is_a_member_that_is_missing(client: Client, server: Server, name: str) -> None:
    members = wire()
    del members[name]
    server.says(answer(body=json.dumps({"success": True, "job": members}).encode()))
    with pytest.raises(ServiceUnavailable, match=name):
        client.get("J")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"{}", b'{"job": null}', b'{"job": []}', b"\xff", b"[" * 200_000]
)
def test_so_is_anything_that_is_no_job_at_all(client: Client, server: Server, body: bytes) -> None:
    server.says(answer(body=body))
    with pytest.raises(ServiceUnavailable, match="makes no sense"):
        client.get("J")


def test_the_key_goes_along_and_the_id_is_quoted_into_the_path(server: Server) -> None:
    server.says(ok())
    with Client(f"{server.url}/my%20imports/", KEY) as client:
        client.get("a/b c?d#é")
    assert server.requests[0].target == "/my%20imports/batch-import/jobs/a%2Fb%20c%3Fd%23%C3%A9"
    assert server.asked("authorization") == [f"Bearer {KEY}"]
    assert server.asked("prefer") == server.asked("if-none-match") == [None]
    assert (server.requests[0].method, server.requests[0].body) == ("GET", b"")


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_an_id_that_no_path_can_carry_is_no_job_and_nobody_is_asked(client: Client, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        client.get(job_id)


def test_the_wire_is_handed_on_as_it_is(client: Client, server: Server) -> None:
    server.says(ok(etaSeconds=12))
    body = client.wire("J")
    assert body == wire(etaSeconds=12)
    assert list(body) == list(wire(etaSeconds=12))


def test_but_not_when_it_is_broken(client: Client, server: Server) -> None:
    server.says(ok(status="exploded"))
    with pytest.raises(ServiceUnavailable):
        client.wire("J")


def test_failures_come_as_on_the_wire(client: Client, server: Server) -> None:
    body = {"success": True, "jobId": "J", "failures": [{"externalId": "T-7"}], "failuresTotal": 1}
    server.says(answer(body=json.dumps(body).encode()))
    assert client.failures("J") == body
    assert server.requests[0].target == "/batch-import/jobs/J?include=failures"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"failures": null}'])
def test_a_body_without_failures_is_broken(client: Client, server: Server, body: bytes) -> None:
    server.says(answer(body=body))
    with pytest.raises(ServiceUnavailable, match="makes no sense"):
        client.failures("J")


# What an error means


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", ["json", "html", "nothing", "cut", "chunk"])
def test_a_refused_key_is_refused_whoever_says_so(client: Client, server: Server, status: int, body: str) -> None:
    ours, chunk = (
        error(status, "UNAUTHENTICATED"),
        f"HTTP/1.1 {status} No\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{{",
    )
    bodies = {"json": ours, "html": page(status), "nothing": answer(status), "cut": cut(ours, 5)}
    server.says(bodies.get(body, Answer(chunk.encode(), cut=True)))
    with pytest.raises(Refused, match=f"/batch-import/jobs/J: {status}"):
        client.get("J")


def test_only_our_own_404_means_that_there_is_no_such_job(client: Client, server: Server) -> None:
    server.says(error(404, "JOB_NOT_FOUND"))
    with pytest.raises(JobNotFound, match="/batch-import/jobs/J: 404 JOB_NOT_FOUND: 'because'"):
        client.get("J")


@pytest.mark.parametrize(
    "other",
    [
        page(404),
        error(404, "NOT_FOUND"),
        error(400, "JOB_NOT_FOUND"),
        error(503, "JOB_NOT_FOUND"),
        answer(404, b'{"detail": "Not Found"}'),
        answer(404, b'{"error": "JOB_NOT_FOUND"}'),
        answer(404, b'{"error": {"code": "JOB_NOT_FOUND"}}'),
    ],
)
def test_another_404_does_not(client: Client, server: Server, other: Answer) -> None:
    server.says(other)
    with pytest.raises(ServiceUnavailable):
        client.get("J")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else(
    client: Client, server: Server, clock: Clock, status: int
) -> None:
    with Server(clock) as elsewhere:
        server.says(answer(status, headers={"Location": f"{elsewhere.url}/batch-import/jobs/J"}))
        with pytest.raises(ServiceUnavailable, match=elsewhere.url):
            next(client.watch("J"))
        assert (elsewhere.connections, clock.sleeps) == (0, [])


@pytest.mark.parametrize("status", [204, 206, 304, 400, 405, 429, 500, 502, 503])
def test_every_other_answer_is_the_service_being_unavailable(client: Client, server: Server, status: int) -> None:
    server.says(answer(status))
    with pytest.raises(ServiceUnavailable, match=f"/batch-import/jobs/J: {status}, not from batchstatus"):
        client.get("J")


def test_a_200_that_is_a_page_is_none(client: Client, server: Server) -> None:
    server.says(page(200))
    with pytest.raises(ServiceUnavailable, match="text/html instead of application/json"):
        client.get("J")


def test_one_poll_is_one_poll(client: Client, server: Server, clock: Clock) -> None:
    server.says(error(503, "STORE_UNAVAILABLE", {"Retry-After": "1"}))
    with pytest.raises(ServiceUnavailable, match="503 STORE_UNAVAILABLE"):
        client.get("J")
    assert clock.sleeps == []


def test_a_message_is_shown_on_one_line_and_not_at_any_length(client: Client, server: Server) -> None:
    body = {"error": {"code": "INTERNAL_ERROR", "message": "\x1b[2J\n" + "x" * 10_000}}
    server.says(answer(500, json.dumps(body).encode()))
    with pytest.raises(ServiceUnavailable) as caught:
        client.get("J")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_no_server_is_the_service_being_unavailable(nowhere: str) -> None:
    with Client(nowhere, KEY) as client, pytest.raises(ServiceUnavailable, match="ConnectionRefused"):
        client.get("J")


def test_a_silent_server_too_after_the_timeout(server: Server) -> None:
    go = threading.Event()
    server.says(Answer(b"", cut=True, hold=lambda: go.wait(10)))
    with Client(server.url, KEY, timeout_s=0.05) as client, pytest.raises(ServiceUnavailable, match="Timeout"):
        client.get("J")
    go.set()


def test_https_is_spoken_to_an_https_url_and_nothing_in_the_clear(server: Server) -> None:
    with (
        Client(server.url.replace("http:", "https:"), KEY) as client,
        pytest.raises(ServiceUnavailable, match="SSL"),
    ):
        client.get("J")
    assert server.requests == []


def test_no_error_shows_the_key(client: Client, server: Server, nowhere: str) -> None:
    answers = [
        error(401, "UNAUTHENTICATED"),
        error(404, "JOB_NOT_FOUND"),
        page(502),
        ok(status="exploded"),
        NO_ANSWER,
    ]
    server.says(*answers)
    for _ in answers:
        with pytest.raises(Exception, match="batch-import/jobs/J") as caught:
            client.get("J")
        assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert KEY not in repr(client)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "http://",
        "http://:8080",
        "http://api.example.com:port",
        "http://api.example.com:70000",
        "http://api example.com",
        "http://api..example.com",
        "http://[::1",
        "http://api.example.com?x=1",
        "http://api.example.com/#top",
    ],
)
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Client(url, KEY)
    assert repr(url) in str(caught.value)


def test_a_url_with_a_password_is_refused_and_the_password_not_shown() -> None:
    with pytest.raises(InvalidValue, match=r"//…@api\.example\.com") as caught:
        Client("https://me:hunter2@api.example.com", KEY)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://[::1]:8080", "HTTPS://bücher.example/imports", "https://10.0.0.1:443/a/b/"]
)
def test_unusual_urls_do(url: str) -> None:
    Client(url, KEY)


@pytest.mark.parametrize(
    "key", ["", "bsk secret", "bsk_secret\r\nX-Evil: 1", "bsk_secret\n", "bsk_sécret", "bsk_\x00"]
)
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Client("https://api.example.com", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "times", [{"timeout_s": 0}, {"timeout_s": float("nan")}, {"timeout_s": float("inf")}, {"give_up_s": -1}]
)
def test_times_that_cannot_be_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(times))):
        Client("https://api.example.com", KEY, **times)


# The connection


def test_the_connection_is_kept(client: Client, server: Server) -> None:
    server.says(ok(), answer(body=b'{"failures": []}'), ok(), csv(), ok())
    client.get("J")
    client.failures("J")
    client.failures_csv("J", io.BytesIO())
    client.get("J")
    assert server.connections == 1


def test_and_opened_again_if_the_server_closed_it_while_it_was_idle(
    client: Client, server: Server, clock: Clock
) -> None:
    server.says(Answer(ok().raw, cut=True), ok())
    client.get("J")
    assert server.ended.acquire(timeout=10)
    assert client.get("J").succeeded == 412
    assert (server.connections, clock.sleeps) == (2, [])


def test_or_while_it_was_being_used(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, ok())
    client.get("J")
    assert client.get("J").succeeded == 412
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_but_once_only(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, NO_ANSWER)
    client.get("J")
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.get("J")


def test_a_new_connection_that_is_cut_is_trouble(client: Client, server: Server) -> None:
    server.says(NO_ANSWER)
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.get("J")


def test_silence_on_a_kept_connection_is_not_asked_for_twice(server: Server) -> None:
    go = threading.Event()
    server.says(ok(), Answer(b"", cut=True, hold=lambda: go.wait(10)))
    with Client(server.url, KEY, timeout_s=0.05) as client:
        client.get("J")
        with pytest.raises(ServiceUnavailable, match="Timeout"):
            client.get("J")
    go.set()


@pytest.mark.parametrize(
    "trouble", [page(200), page(502), cut(ok(), 9), ok(status="exploded"), answer(500, b"x" * 99_999)]
)
def test_nothing_of_a_bad_answer_is_left_for_the_next(client: Client, server: Server, trouble: Answer) -> None:
    server.says(trouble, ok())
    with pytest.raises(ServiceUnavailable):
        client.get("J")
    assert client.get("J").succeeded == 412


def test_a_server_that_closes_after_each_answer_will_do(client: Client, server: Server) -> None:
    closing = Answer(ok({"Connection": "close"}).raw, cut=True)
    server.says(closing, closing)
    assert client.get("J") == client.get("J")
    assert server.connections == 2


def test_a_closed_client_opens_again(client: Client, server: Server) -> None:
    server.says(ok(), ok())
    client.get("J")
    client.close()
    client.get("J")
    assert server.connections == 2


# The failures as CSV


@pytest.mark.parametrize(
    ("kind", "route"),
    [
        ("transaction_batch", "transaction-jobs"),
        ("user_event_batch", "user-event-jobs"),
        ("entity_automatic", "entity-jobs"),
    ],
)
def test_the_csv_comes_from_the_route_of_the_kind(client: Client, server: Server, kind: str, route: str) -> None:
    server.says(ok(kind=kind), csv(b"row_key,code,error\r\n" * 10_000))
    file = io.BytesIO()
    client.failures_csv("J", file)
    assert file.getvalue() == b"row_key,code,error\r\n" * 10_000
    assert server.requests[1].target == f"/batch-import/{route}/J/failures.csv"


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
UNBOUNDED = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n"


def test_it_may_come_in_chunks(client: Client, server: Server) -> None:
    server.says(ok(), Answer(CHUNKED + b"3\r\na,b\r\n4\r\n,c\r\n\r\n0\r\n\r\n"))
    file = io.BytesIO()
    client.failures_csv("J", file)
    assert file.getvalue() == b"a,b,c\r\n"


@pytest.mark.parametrize(
    "short",
    [
        cut(csv(b"a,b,c\r\n"), 1),
        cut(csv(b"a,b,c\r\n"), 7),
        Answer(CHUNKED + b"7\r\na,b", cut=True),
        Answer(CHUNKED + b"7\r\na,b,c\r\n\r\n", cut=True),
        Answer(CHUNKED, cut=True),
        Answer(UNBOUNDED + b"a,b,c\r\n", cut=True),
    ],
)
def test_a_file_that_is_cut_or_might_be_does_not_look_whole(client: Client, server: Server, short: Answer) -> None:
    server.says(ok(), short)
    with pytest.raises(ServiceUnavailable, match="cut"):
        client.failures_csv("J", io.BytesIO())


@pytest.mark.parametrize("other", [page(200), page(502), error(503, "STORE_UNAVAILABLE")])
def test_what_is_no_csv_is_not_written(client: Client, server: Server, other: Answer) -> None:
    server.says(ok(), other)
    file = io.BytesIO()
    with pytest.raises(ServiceUnavailable, match=r"/transaction-jobs/J/failures\.csv"):
        client.failures_csv("J", file)
    assert file.getvalue() == b""


def test_no_job_has_no_csv(client: Client, server: Server) -> None:
    server.says(error(404, "JOB_NOT_FOUND"))
    with pytest.raises(JobNotFound):
        client.failures_csv("J", io.BytesIO())


def test_what_the_file_raises_passes_through_and_the_client_goes_on(client: Client, server: Server) -> None:
    class Full(io.BytesIO):
        def write(self, piece: object) -> int:
            raise OSError(28, "No space left on device")

    server.says(ok(), csv(b"a,b,c\r\n" * 100_000), ok())
    with pytest.raises(OSError, match="No space left"):
        client.failures_csv("J", Full())
    assert client.get("J").succeeded == 412


# Control


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("action", ["pause", Action.RESUME, "cancel"])
def test_control_learns_the_kind_by_a_poll_and_posts_the_action(
    client: Client, server: Server, kind: Kind, action: str
) -> None:
    server.says(ok(kind=kind), ok(kind=kind, metadata={"batchCancelRequested": True}))
    assert client.control("J", action).metadata == {"batchCancelRequested": True}
    poll, post = server.requests
    assert [(each.method, each.target) for each in (poll, post)] == [
        ("GET", "/batch-import/jobs/J"),
        ("POST", "/batch-import/jobs/J/control"),
    ]
    assert json.loads(post.body) == {"kind": kind, "action": action}
    assert post.headers["authorization"] == f"Bearer {KEY}"
    assert server.connections == 1


def test_a_job_that_has_ended_cannot_be_controlled(client: Client, server: Server) -> None:
    server.says(done(), error(409, "JOB_ALREADY_TERMINAL"))
    with pytest.raises(InvalidTransition, match="/batch-import/jobs/J/control: 409 JOB_ALREADY_TERMINAL"):
        client.control("J", "cancel")


@pytest.mark.parametrize(
    ("final", "raised"),
    [
        (error(401, "UNAUTHENTICATED"), Refused),
        (error(403, "FORBIDDEN"), Refused),
        (error(404, "JOB_NOT_FOUND"), JobNotFound),
        (error(404, "NOT_FOUND"), ServiceUnavailable),
        (error(409, "KIND_MISMATCH"), ServiceUnavailable),
        (error(503, "STORE_UNAVAILABLE", {"Retry-After": "1"}), ServiceUnavailable),
        (page(409), ServiceUnavailable),
        (page(502), ServiceUnavailable),
        (page(200), ServiceUnavailable),
        (answer(204), ServiceUnavailable),
        (answer(304), ServiceUnavailable),
        (ok(status="exploded"), ServiceUnavailable),
    ],
)
def test_every_other_answer_is_an_error_and_the_action_is_not_asked_for_twice(
    client: Client, server: Server, clock: Clock, final: Answer, raised: type[Exception]
) -> None:
    server.says(ok(), final)
    with pytest.raises(raised):
        client.control("J", "pause")
    assert (len(server.requests), clock.sleeps) == (2, [])


def test_without_the_poll_nothing_is_asked_for(client: Client, server: Server) -> None:
    server.says(error(404, "JOB_NOT_FOUND"), error(401, "UNAUTHENTICATED"), page(502))
    for raised in (JobNotFound, Refused, ServiceUnavailable):
        with pytest.raises(raised):
            client.control("J", "cancel")
    assert {request.method for request in server.requests} == {"GET"}


def test_an_action_that_the_server_closed_its_idle_connection_on_is_sent_again(
    client: Client, server: Server
) -> None:
    server.says(ok(), NO_ANSWER, ok(metadata={"batchPauseRequested": True}))
    assert client.control("J", "pause").metadata == {"batchPauseRequested": True}
    assert [(request.method, request.connection) for request in server.requests] == [
        ("GET", 1),
        ("POST", 1),
        ("POST", 2),
    ]
    assert server.requests[1].body == server.requests[2].body


def test_but_only_once(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, NO_ANSWER)
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.control("J", "pause")


def test_and_not_on_a_connection_of_its_own(client: Client, server: Server) -> None:
    server.says(Answer(ok({"Connection": "close"}).raw, cut=True), NO_ANSWER)
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.control("J", "pause")
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_nor_when_the_answer_does_not_come(server: Server) -> None:
    go = threading.Event()
    server.says(ok(), Answer(b"", cut=True, hold=lambda: go.wait(10)))
    with Client(server.url, KEY, timeout_s=0.05) as client, pytest.raises(ServiceUnavailable, match="Timeout"):
        client.control("J", "pause")
    go.set()
    assert [request.method for request in server.requests] == ["GET", "POST"]


# Watching: what is yielded


def test_a_watch_yields_each_change_and_ends_with_the_terminal_status(client: Client, server: Server) -> None:
    server.says(ok(status="queued"), ok(succeeded=1), ok(succeeded=2), done(succeeded=3))
    assert [(job.status, job.succeeded) for job in client.watch("J")] == [
        ("queued", 412),
        ("running", 1),
        ("running", 2),
        ("completed", 3),
    ]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "interrupted"])
def test_a_job_that_has_ended_is_yielded_once(client: Client, server: Server, status: str) -> None:
    server.says(ok(status=status))
    assert [job.status for job in client.watch("J")] == [status]


def test_a_heartbeat_is_no_change(client: Client, server: Server) -> None:
    later = "2026-11-23T15:09:09.999Z"
    server.says(ok(), ok(heartbeatAt=later), ok(leaseExpiresAt=later), done())
    assert [job.status for job in client.watch("J")] == ["running", "completed"]


def test_a_control_flag_is_one(client: Client, server: Server) -> None:
    server.says(ok(), ok(metadata={"batchCancelRequested": True}), done())
    assert [job.metadata for job in client.watch("J")][1] == {"batchCancelRequested": True}


# Watching a service that waits


def test_ten_minutes_take_less_than_a_tenth_of_what_a_loop_of_two_seconds_takes(
    client: Client, server: Server, clock: Clock
) -> None:
    """A job whose counters change all the time, and that ends a little before a wait is over."""
    began_s = clock.now
    working = [replace(tagged(f'W/"{n}"', APPLIED, succeeded=n), held_s=30.0) for n in range(2, 21)]
    last = replace(tagged('W/"21"', APPLIED, status="completed"), held_s=29.9)
    server.says(tagged('W/"1"', succeeded=1), *working, last)
    seen = [job.status for job in client.watch("J")]
    assert (len(seen), seen[-1]) == (21, "completed")
    assert clock.now - began_s == pytest.approx(599.9)
    assert len(server.requests) < (clock.now - began_s) / 2 / 10


def test_it_asks_at_once_to_wait_when_it_has_an_entity_tag(client: Client, server: Server, clock: Clock) -> None:
    server.says(tagged('W/"1"'), held('W/"1"'), held('W/"1"'), tagged('W/"2"', APPLIED, succeeded=500), done())
    assert [job.succeeded for job in client.watch("J")] == [412, 500, 412]
    assert server.asked("if-none-match") == [None, 'W/"1"', 'W/"1"', 'W/"1"', 'W/"2"']
    assert server.asked("prefer") == [None, "wait=30", "wait=30", "wait=30", "wait=30"]
    assert set(clock.sleeps) == {0}
    assert server.connections == 1


def test_an_unchanged_that_does_not_repeat_the_tag_leaves_it_as_it_was(client: Client, server: Server) -> None:
    server.says(tagged('"1"'), answer(304), tagged('"2"'), unchanged('"3"'), done())
    list(client.watch("J"))
    assert server.asked("if-none-match") == [None, '"1"', '"1"', '"2"', '"3"']


@pytest.mark.parametrize(
    ("progress_s", "prefer"),
    [(1, "wait=1"), (0.2, "wait=1"), (2.9, "wait=2"), (100, "wait=30"), (float("inf"), "wait=30")],
)
def test_for_a_bar_it_waits_in_whole_seconds_up_to_30(
    client: Client, server: Server, progress_s: float, prefer: str
) -> None:
    server.says(tagged('W/"1"'), done())
    list(client.watch("J", progress_s))
    assert server.asked("prefer") == [None, prefer]


@pytest.mark.parametrize("progress_s", [0, -1, float("nan")])
def test_a_bar_that_cannot_be_is_refused(client: Client, progress_s: float) -> None:
    with pytest.raises(InvalidValue, match="progress_s"):
        next(client.watch("J", progress_s))


def test_a_held_answer_may_take_longer_than_the_timeout(server: Server, clock: Clock) -> None:
    real = threading.Event()
    late = held('W/"1"')
    server.says(tagged('W/"1"'), Answer(late.raw, held_s=1, hold=lambda: real.wait(0.4)), done())
    with Client(server.url, KEY, timeout_s=0.2) as client:
        list(client.watch("J", progress_s=1))
    assert (set(clock.sleeps), server.connections) == ({0}, 1)


def test_an_answer_without_a_wait_may_not(server: Server, clock: Clock) -> None:
    go = threading.Event()
    server.says(Answer(b"", cut=True, hold=lambda: go.wait(10)), done())
    with Client(server.url, KEY, timeout_s=0.05) as client:
        list(client.watch("J"))
    go.set()
    assert clock.sleeps == [0.25]


def test_an_unchanged_that_was_not_really_held_is_paced(client: Client, server: Server, clock: Clock) -> None:
    from_a_cache = unchanged('W/"1"', Preference_Applied="wait=30", Retry_After="3")
    server.says(tagged('W/"1"'), from_a_cache, from_a_cache, done())
    list(client.watch("J"))
    assert clock.sleeps == [0, 3, 3]


# Watching a service that does not wait


def test_it_paces_as_the_service_says(client: Client, server: Server, clock: Clock) -> None:
    server.says(ok({"Retry-After": "3"}), ok({"Retry-After": "5"}), done())
    list(client.watch("J"))
    assert clock.sleeps == [3, 5]


def test_it_does_not_ask_to_wait_without_an_entity_tag(client: Client, server: Server) -> None:
    server.says(ok(), tagged('"1"'), ok(), done())
    list(client.watch("J"))
    assert server.asked("if-none-match") == [None, None, '"1"', None]
    assert server.asked("prefer") == [None, None, "wait=30", None]


@pytest.mark.parametrize("reply", [unchanged('W/"1"', Retry_After="4"), tagged('W/"1"', {"Retry-After": "4"})])
def test_it_paces_when_the_wait_was_not_applied(
    client: Client, server: Server, clock: Clock, reply: Answer
) -> None:
    server.says(tagged('W/"1"', {"Retry-After": "4"}), reply, reply, done())
    assert len(list(client.watch("J"))) == 2
    assert clock.sleeps == [0, 4, 4]


@pytest.mark.parametrize(
    ("retry_after", "pause_s"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("0", 1),
        ("3600", 30),
        ("9" * 500, 30),
        ("", 2),
        ("-3", 2),
        ("2.5", 2),
        ("soon", 2),
        ("²", 2),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 2),
    ],
)
def test_it_never_hurries_nor_dawdles(
    client: Client, server: Server, clock: Clock, retry_after: str, pause_s: float
) -> None:
    server.says(ok({"Retry-After": retry_after}), done())
    list(client.watch("J"))
    assert clock.sleeps == [pause_s]


def test_it_takes_two_seconds_where_the_service_says_nothing(client: Client, server: Server, clock: Clock) -> None:
    server.says(ok(), done())
    list(client.watch("J"))
    assert clock.sleeps == [2]


@pytest.mark.parametrize(("progress_s", "pause_s"), [(0.5, 0.5), (1, 1), (10, 4)])
def test_for_a_bar_it_does_not_sleep_longer_than_asked(
    client: Client, server: Server, clock: Clock, progress_s: float, pause_s: float
) -> None:
    server.says(ok({"Retry-After": "4"}), done())
    list(client.watch("J", progress_s))
    assert clock.sleeps == [pause_s]


# Watching in trouble


@pytest.mark.parametrize(
    "trouble",
    [
        NO_ANSWER,
        Answer(b"HTTP/1.1 200 OK\r\nContent-Ty", cut=True),
        Answer(b"what?\r\n\r\n", cut=True),
        cut(ok(), 1),
        answer(body=b'{"success": true, "jo'),
        answer(body=b"[" * 200_000),
        ok(status="exploded"),
        page(200),
        page(404),
        page(502),
        answer(404, b'{"detail": "Not Found"}'),
        answer(204),
        answer(304),
        answer(408),
        error(408, "BAD_REQUEST"),
        error(429, "SLOW_DOWN"),
        error(500, "INTERNAL_ERROR"),
        error(503, "STORE_UNAVAILABLE"),
    ],
)
def test_trouble_passes(client: Client, server: Server, clock: Clock, trouble: Answer) -> None:
    server.says(trouble, done())
    assert [job.status for job in client.watch("J")] == ["completed"]
    assert clock.sleeps == [0.25]


@pytest.mark.parametrize(
    ("final", "raised"),
    [
        (error(401, "UNAUTHENTICATED"), Refused),
        (error(403, "FORBIDDEN"), Refused),
        (page(403), Refused),
        (error(404, "JOB_NOT_FOUND"), JobNotFound),
        (error(404, "NOT_FOUND"), ServiceUnavailable),
        (error(400, "INVALID_REQUEST"), InvalidValue),
        (error(400, "BAD_REQUEST"), ServiceUnavailable),
        (answer(302, headers={"Location": "https://login.example.com"}), ServiceUnavailable),
    ],
)
def test_what_is_final_ends_the_watch_at_once(
    client: Client, server: Server, clock: Clock, final: Answer, raised: type[Exception]
) -> None:
    server.says(tagged('W/"1"'), final)
    jobs = client.watch("J")
    next(jobs)
    with pytest.raises(raised):
        next(jobs)
    assert clock.sleeps == [0]


def test_it_backs_off_twice_as_long_each_time_with_full_jitter(
    client: Client, server: Server, clock: Clock
) -> None:
    server.says(*[NO_ANSWER] * 7, done())
    list(client.watch("J"))
    assert clock.sleeps == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert clock.jitters == [(0, most) for most in clock.sleeps]


def test_it_backs_off_no_less_than_the_service_says(client: Client, server: Server, clock: Clock) -> None:
    unavailable = [error(503, "STORE_UNAVAILABLE", {"Retry-After": text}) for text in ("4", "3600", "soon")]
    server.says(*unavailable, done())
    list(client.watch("J"))
    assert clock.sleeps == [4.25, 30.5, 1]


def test_each_trouble_starts_small(client: Client, server: Server, clock: Clock) -> None:
    server.says(page(502), page(502), ok(), page(502), done())
    list(client.watch("J"))
    assert clock.sleeps == [0.25, 0.5, 2, 0.25]


def test_after_trouble_it_looks_before_it_waits_again(client: Client, server: Server, clock: Clock) -> None:
    server.says(tagged('"1"'), page(504), unchanged('"1"', Retry_After="3"), held('"1"'), done())
    list(client.watch("J"))
    assert server.asked("prefer") == [None, "wait=30", None, "wait=30", "wait=30"]
    assert server.asked("if-none-match") == [None, '"1"', '"1"', '"1"', '"1"']
    assert clock.sleeps == [0, 0.25, 3, 0]


def test_it_gives_up_in_the_end_and_says_what_was_last(server: Server, clock: Clock) -> None:
    server.says(*[page(502)] * 4, error(503, "STORE_UNAVAILABLE"))
    with Client(server.url, KEY, give_up_s=3) as client, pytest.raises(ServiceUnavailable) as caught:
        list(client.watch("J"))
    assert "503 STORE_UNAVAILABLE: 'because'; nothing better for 3 s" in str(caught.value)
    assert clock.sleeps == [0.25, 0.5, 1, 1.25]
    assert type(caught.value) is ServiceUnavailable


def test_where_nobody_listens_it_gives_up_after_a_minute(nowhere: str, clock: Clock) -> None:
    with Client(nowhere, KEY) as client, pytest.raises(ServiceUnavailable, match="ConnectionRefused"):
        list(client.watch("J"))
    assert sum(clock.sleeps) == 60


def test_or_at_once_if_so_told(nowhere: str, clock: Clock) -> None:
    with Client(nowhere, KEY, give_up_s=0) as client, pytest.raises(ServiceUnavailable):
        list(client.watch("J"))
    assert clock.sleeps == []


def test_a_slow_failure_counts_from_when_it_was_asked(server: Server, clock: Clock) -> None:
    server.says(Answer(b"", cut=True, held_s=3))
    with Client(server.url, KEY, give_up_s=3) as client, pytest.raises(ServiceUnavailable):
        list(client.watch("J"))
    assert clock.sleeps == []


def test_a_wait_that_fails_late_does_not_count_as_trouble_all_along(server: Server, clock: Clock) -> None:
    late = Answer(page(504).raw, held_s=29)
    server.says(tagged('"1"'), late, done())
    with Client(server.url, KEY, give_up_s=3) as client:
        assert [job.status for job in client.watch("J")] == ["running", "completed"]


def test_but_one_that_fails_early_does_from_then_on(server: Server, clock: Clock) -> None:
    server.says(tagged('"1"'), *[page(502)] * 5)
    with Client(server.url, KEY, give_up_s=3) as client, pytest.raises(ServiceUnavailable):
        list(client.watch("J"))
    assert sum(clock.sleeps) == 3


def test_patience_begins_anew_with_each_usable_answer(server: Server, clock: Clock) -> None:
    server.says(*[answer for _ in range(5) for answer in (page(502), page(502), ok())], done())
    with Client(server.url, KEY, give_up_s=1) as client:
        list(client.watch("J"))
    assert sum(clock.sleeps) > 10


# Leaving a watch


def test_leaving_the_loop_early_leaves_no_connection(client: Client, server: Server) -> None:
    server.says(ok())
    for _ in client.watch("J"):
        break
    assert server.ended.acquire(timeout=10)


def test_neither_does_its_end_nor_an_error(client: Client, server: Server) -> None:
    server.says(done(), error(404, "JOB_NOT_FOUND"))
    list(client.watch("J"))
    assert server.ended.acquire(timeout=10)
    with pytest.raises(JobNotFound):
        list(client.watch("J"))
    assert server.ended.acquire(timeout=10)


def test_in_between_the_client_may_be_used_and_afterwards(client: Client, server: Server) -> None:
    failures = answer(body=b'{"failures": []}')
    server.says(tagged('"1"'), failures, done(), failures, ok())
    assert [client.failures(job.job_id)["failures"] for job in client.watch("J")] == [[], []]
    assert client.get("J").succeeded == 412


def test_the_real_clock_is_used_where_nobody_sets_another() -> None:
    names = {"sleep": "time", "monotonic": "time"}
    assert {name: cast(Any, module.__dict__[name]).__module__ for name in names} == names
