"""`create_app(store)` is an ordinary Flask application: whatever Flask accepts runs."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import flask
import pytest
from flask import signals
from werkzeug.test import TestResponse

from batchstatus import Job, JobNotFound, JobStore, StoreUnavailable
from batchstatus.web import Service, create_app
from tests.support.wire import JOB, bearer, error_of, get

Answer = Callable[[str], TestResponse]


@pytest.fixture
def app(store: JobStore) -> Service:
    return create_app(store)


@pytest.fixture
def poll(app: Service, api_key: str, job: Job) -> Answer:
    """Returns what polls a job by its id."""
    return lambda job_id: get(app.test_client(), JOB.format(job_id), api_key)


def test_an_app_as_it_is_made_goes_past_flasks_contexts(app: Service, poll: Answer, job: Job) -> None:
    assert poll(job.job_id).status_code == 200
    assert app._goes_directly()


def test_before_request_runs_and_may_answer_instead(app: Service, poll: Answer, job: Job) -> None:
    seen = []

    @app.before_request
    def note() -> Any:
        seen.append((flask.request.endpoint, flask.request.view_args))
        return ("closed", 418) if flask.request.args.get("include") == "tea" else None

    assert poll(job.job_id).status_code == 200
    assert seen == [("batchstatus.job", {"job_id": job.job_id})]
    assert poll(f"{job.job_id}?include=tea").data == b"closed"


def test_after_request_may_change_the_answer(app: Service, poll: Answer, job: Job) -> None:
    @app.after_request
    def mark(response: flask.Response) -> flask.Response:
        response.headers["X-Mark"] = str(response.status_code)
        return response

    assert poll(job.job_id).headers["X-Mark"] == "200"
    assert poll("nobody").headers["X-Mark"] == "404"


def test_teardown_functions_and_context_processors_run(app: Service, poll: Answer, job: Job) -> None:
    seen: list[object] = []
    app.teardown_request(lambda error: seen.append(("request", error)))
    app.teardown_appcontext(lambda error: seen.append(("app", error)))
    app.url_value_preprocessor(lambda endpoint, values: seen.append((endpoint, dict(values or {}))))
    assert poll(job.job_id).status_code == 200
    assert seen == [("batchstatus.job", {"job_id": job.job_id}), ("request", None), ("app", None)]


@pytest.mark.parametrize("error", [404, JobNotFound], ids=["by status", "by class"])
def test_an_error_handler_replaces_ours(app: Service, poll: Answer, error: Any) -> None:
    app.register_error_handler(error, lambda _: ("gone fishing", 404))
    unknown = app.test_client().get("/nothing") if error == 404 else poll("nobody")
    assert unknown.data == b"gone fishing"


def test_a_handler_for_a_store_that_is_away(
    app: Service, poll: Answer, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    app.register_error_handler(StoreUnavailable, lambda error: (f"later: {error}", 503))
    monkeypatch.setattr(store, "get", away)
    assert poll("any").data == b"later: away"


def test_a_bug_is_signalled_logged_once_and_answered(
    app: Service, poll: Answer, store: JobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []
    monkeypatch.setattr(store, "get", lambda *_: 1 / 0)

    def note(_: object, exception: Exception) -> None:
        seen.append(exception)

    with signals.got_request_exception.connected_to(note, app):
        answer = poll("job_1")
    assert error_of(answer) == (500, "INTERNAL_ERROR")
    assert [type(each) for each in seen] == [ZeroDivisionError]
    (line,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert answer.headers["X-Request-Id"] in line.getMessage()
    assert line.exc_info is not None


@pytest.mark.parametrize("name", ["request_started", "request_finished", "request_tearing_down"])
def test_a_listener_hears_of_requests_from_when_it_connects(
    app: Service, poll: Answer, job: Job, name: str
) -> None:
    heard = []

    def note(sender: object, **_: object) -> None:
        heard.append(sender)

    assert poll(job.job_id).status_code == 200
    assert app._goes_directly()
    with getattr(signals, name).connected_to(note, app):
        assert poll(job.job_id).status_code == 200
    assert heard == [app]
    assert app._goes_directly()


def test_testing_lets_exceptions_through(
    app: Service, poll: Answer, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.testing = True
    monkeypatch.setattr(store, "get", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        poll("job_1")


def test_trusted_hosts_are_checked(app: Service, poll: Answer, job: Job) -> None:
    app.config["TRUSTED_HOSTS"] = ["api.example.com"]
    assert poll(job.job_id).status_code == 400


def test_routes_of_ones_own_stand_beside_ours(app: Service, poll: Answer, job: Job) -> None:
    app.add_url_rule("/hello", "hello", lambda: f"hello from {flask.request.path}")
    client = app.test_client()
    assert client.get("/hello").data == b"hello from /hello"
    assert client.options("/hello").status_code == 405  # as PROVIDE_AUTOMATIC_OPTIONS says
    assert error_of(client.post("/hello")) == (405, "METHOD_NOT_ALLOWED")
    assert error_of(client.get("/nothing")) == (404, "NOT_FOUND")
    assert poll(job.job_id).status_code == 200


class Shouting(Service):
    """A subclass that changes what Flask calls."""

    def process_response(self, response: flask.Response) -> flask.Response:
        response.headers["X-Shout"] = "HEY"
        return super().process_response(response)


def test_what_a_subclass_overrides_is_called(store: JobStore, api_key: str, job: Job) -> None:
    app = Shouting(store, None, None)
    assert get(app.test_client(), JOB.format(job.job_id), api_key).headers["X-Shout"] == "HEY"


def test_a_method_that_is_replaced_is_called(app: Service, poll: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "make_response", lambda _: flask.Response("replaced"))
    assert poll("any").data == b"replaced"


def test_a_request_class_of_ones_own_is_used(app: Service, poll: Answer, job: Job) -> None:
    made = []

    class Request(flask.Request):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    app.request_class = Request
    assert poll(job.job_id).status_code == 200
    assert made


def test_a_hook_that_reads_the_body_leaves_it_to_the_view(app: Service, api_key: str, store: JobStore) -> None:
    read = []
    app.before_request(lambda: read.append(flask.request.get_json(silent=True)))
    queued = store.create("org_acme", "transaction_batch")
    body = {"kind": "transaction_batch", "action": "cancel"}
    path = f"{JOB.format(queued.job_id)}/control"
    answer = app.test_client().post(path, json=body, headers=bearer(api_key))
    assert answer.json["job"]["status"] == "cancelled"  # type: ignore[index]
    assert read == [body]


def test_after_the_first_request_nothing_can_be_hooked_in_any_more(app: Service, poll: Answer, job: Job) -> None:
    assert poll(job.job_id).status_code == 200
    with pytest.raises(AssertionError, match="before_request"):
        app.before_request(lambda: None)


def test_a_middleware_around_the_app_needs_no_contexts(app: Service, poll: Answer, job: Job) -> None:
    inner, seen = app.wsgi_app, []

    def middleware(environ: Any, start_response: Any) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]
    assert poll(job.job_id).status_code == 200
    assert seen == [JOB.format(job.job_id)]
    assert app._goes_directly()


def test_the_log_line_of_a_request_is_made_by_the_record_factory(
    poll: Answer, job: Job, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = logging.getLogRecordFactory()

    def marked(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = usual(*arguments, **options)
        record.tenant = "t-1"
        return record

    logging.setLogRecordFactory(marked)
    try:
        with caplog.at_level(logging.INFO, "batchstatus.requests"):
            poll(job.job_id)
    finally:
        logging.setLogRecordFactory(usual)
    (line,) = [each for each in caplog.records if each.name == "batchstatus.requests"]
    assert line.tenant == "t-1"  # type: ignore[attr-defined]


def test_flask_that_was_instrumented_before_us_is_not_bypassed(store: JobStore) -> None:
    """As OpenTelemetry's `instrument()` and other tools do: by another class, or other methods, for every app."""

    def patched(self: flask.Flask, *arguments: Any) -> Any:
        return original(self, *arguments)

    original = flask.Flask.full_dispatch_request
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flask.Flask, "full_dispatch_request", patched)
        assert not create_app(store)._goes_directly()
    assert create_app(store)._goes_directly()


@pytest.mark.parametrize("name", ["DEBUG", "TESTING"])
def test_debugging_and_testing_go_flasks_way(app: Service, name: str) -> None:
    app.config[name] = True
    assert not app._goes_directly()


def test_a_test_client_keeps_the_context_of_its_last_request(app: Service, api_key: str, job: Job) -> None:
    with app.test_client() as client:
        assert get(client, JOB.format(job.job_id), api_key).status_code == 200
        assert flask.request.endpoint == "batchstatus.job"


def test_a_session_interface_that_is_changed_is_called(
    app: Service, poll: Answer, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(app.session_interface, "open_session", lambda *_: opened.append(1))  # all apps share it
    assert poll(job.job_id).status_code == 200
    assert opened
