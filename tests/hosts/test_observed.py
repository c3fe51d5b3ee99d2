"""What Sentry and OpenTelemetry see of the service: the real packages, with transports that record."""

import weakref
from collections.abc import Iterator
from typing import Any

import flask
import pytest

from batchstatus import Job, JobStore
from batchstatus.web import create_app
from tests.hosts.conftest import PREFIX, Register
from tests.support.wire import JOB, error_of, get

sentry_sdk = pytest.importorskip("sentry_sdk")
FlaskIntegration = pytest.importorskip("sentry_sdk.integrations.flask").FlaskIntegration
Transport: Any = pytest.importorskip("sentry_sdk.transport").Transport
FlaskInstrumentor = pytest.importorskip("opentelemetry.instrumentation.flask").FlaskInstrumentor
TracerProvider = pytest.importorskip("opentelemetry.sdk.trace").TracerProvider
export = pytest.importorskip("opentelemetry.sdk.trace.export")
in_memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

STATUS = {"http.response.status_code", "http.status_code"}  # OpenTelemetry has renamed it


class Recorded(Transport):
    """Keeps what Sentry would send."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        if (event := envelope.get_event()) is not None:
            self.events.append(event)


@pytest.fixture(scope="module", autouse=True)
def _flask_as_it_was() -> Iterator[None]:
    """Take back what Sentry does to Flask itself, for good: other tests may follow in this process."""
    call, signals = flask.Flask.__call__, (flask.request_started, flask.got_request_exception)
    known = {each: set(each.receivers) for each in signals}
    yield
    flask.Flask.__call__ = call  # type: ignore[method-assign]
    for signal in signals:
        for name, receiver in [*signal.receivers.items()]:
            if name not in known[signal]:
                signal.disconnect(receiver() if isinstance(receiver, weakref.ReferenceType) else receiver)


@pytest.fixture
def sentry() -> Iterator[Recorded]:
    """Sentry as an application sets it up, recording; gone afterwards."""
    transport = Recorded()
    with sentry_sdk.isolation_scope():
        sentry_sdk.init(
            dsn="http://key@127.0.0.1/1",
            transport=transport,
            integrations=[FlaskIntegration(transaction_style="url")],
            auto_enabling_integrations=False,
        )
        yield transport
    sentry_sdk.init()


def break_store(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "get", lambda *_: 1 / 0)


def checked_event(sentry: Recorded, request_id: str, route: str, key: str) -> None:
    (event,) = sentry.events
    raised = event["exception"]["values"][-1]
    assert raised["type"] == "ZeroDivisionError"
    assert f"request {request_id}" in raised["value"]
    assert event["transaction"] == route
    assert key not in str(event)


def test_sentry_sees_a_bug_in_a_host(
    sentry: Recorded, register: Register, store: JobStore, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_store(store, monkeypatch)
    answer = get(register().test_client(), PREFIX + JOB.format("x"), api_key)
    assert error_of(answer) == (500, "INTERNAL_ERROR")
    checked_event(sentry, answer.headers["X-Request-Id"], f"{PREFIX}/batch-import/jobs/<job_id>", api_key)


def test_sentry_sees_a_bug_in_an_app_of_our_own(
    sentry: Recorded, store: JobStore, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_store(store, monkeypatch)
    answer = get(create_app(store).test_client(), JOB.format("x"), api_key)
    assert error_of(answer) == (500, "INTERNAL_ERROR")
    checked_event(sentry, answer.headers["X-Request-Id"], "/batch-import/jobs/<job_id>", api_key)


def test_sentry_hears_nothing_of_what_is_no_bug(
    sentry: Recorded, register: Register, api_key: str, job: Job
) -> None:
    client = register().test_client()
    for path in (JOB.format(job.job_id), JOB.format("nobody"), "/nothing"):
        get(client, PREFIX + path, api_key)
        client.get(PREFIX + path)
    assert sentry.events == []


# OpenTelemetry


def keep_the_route_only(span: Any, status: str, headers: list[tuple[str, str]]) -> None:
    """The hook that docs/flask.md shows: a path has a job's id in it, and the route tells enough."""
    for name in ("http.target", "http.url", "url.path", "url.full"):
        if name in span.attributes:
            span.set_attribute(name, span.attributes["http.route"])


@pytest.fixture
def spans() -> Any:
    return in_memory.InMemorySpanExporter()


def instrument(app: flask.Flask, spans: Any) -> None:
    provider = TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(spans))
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider, response_hook=keep_the_route_only)


def checked_span(span: Any, route: str, status: int, *secrets: str) -> None:
    assert span.name == f"GET {route}"
    attributes = dict(span.attributes or {})
    assert attributes["http.route"] == route
    assert {attributes[name] for name in STATUS & attributes.keys()} == {status}
    assert not [each for each in secrets if each in str(attributes)]


def test_opentelemetry_names_the_route_in_a_host(spans: Any, register: Register, api_key: str, job: Job) -> None:
    app = register()
    instrument(app, spans)
    assert get(app.test_client(), PREFIX + JOB.format(job.job_id), api_key).status_code == 200
    (span,) = spans.get_finished_spans()
    checked_span(span, f"{PREFIX}/batch-import/jobs/<job_id>", 200, api_key, job.job_id)


def test_opentelemetry_names_the_route_in_an_app_of_our_own(
    spans: Any, store: JobStore, api_key: str, job: Job
) -> None:
    app = create_app(store)
    instrument(app, spans)
    for job_id, status in ((job.job_id, 200), ("nobody", 404)):
        assert get(app.test_client(), JOB.format(job_id), api_key).status_code == status
    for span, status in zip(spans.get_finished_spans(), (200, 404), strict=True):
        checked_span(span, "/batch-import/jobs/<job_id>", status, api_key, job.job_id)
