"""The logs: one line of JSON each, for every request one, and never a key in any of them."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from batchstatus import JobStore
from batchstatus.web import logs

ORG = "org_acme"
JOBS = "/batch-import/jobs/<job_id>"
Stderr = Callable[[], list[dict[str, Any]]]


def record(message: str = "something", *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("batchstatus.test", logging.WARNING, "x.py", 1, message, arguments, None)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def line(of: logging.LogRecord) -> dict[str, Any]:
    text = logs.JsonFormatter().format(of)
    assert "\n" not in text
    assert "\r" not in text
    found: dict[str, Any] = json.loads(text)
    return found


# A line


def test_a_line_says_when_how_bad_who_and_what() -> None:
    made = record("%s of %d", "three", 4)
    found = line(made)
    at = datetime.fromisoformat(found.pop("time"))
    assert found == {"level": "warning", "logger": "batchstatus.test", "message": "three of 4"}
    assert at.tzinfo == UTC
    assert abs(at.timestamp() - made.created) < 0.001


def test_what_is_given_as_fields_are_members_of_it() -> None:
    found = line(record(fields={"status": 200, "org": None, "job": "J"}))
    assert (found["status"], found["org"], found["job"], found["message"]) == (200, None, "J", "something")


def test_an_exception_is_in_the_same_line() -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        found = line(record(exc_info=sys.exc_info()))
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: boom")


@pytest.mark.parametrize(
    "value",
    [
        "two\nlines\r\n",
        '"quoted" \\ \x00\x1b[2J',
        "año 🎉",
        "\ud800",
        2**70,
        float("nan"),
        {1, 2},
        ...,
        b"\xff",
    ],
    ids=ascii,
)
def test_whatever_is_in_it_it_is_one_line_of_json(value: object) -> None:
    assert "about" in line(record("about %s", value))["message"]
    assert "value" in line(record(fields={"value": value}))


# Where they go


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Stderr]:
    """The lines on stderr; the loggers are put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # or pytest's would be closed
    yield lambda: [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("level", "heard"), [("info", ["info", "warning"]), ("warning", ["warning"]), ("ERROR", [])]
)
def test_all_from_the_level_up_goes_to_stderr(stderr: Stderr, level: str, heard: list[str]) -> None:
    logs.configure(level)
    logging.getLogger("batchstatus.test").info("one")
    logging.getLogger("somebody.else").warning("two")
    logging.getLogger("somebody.else").debug("three")
    assert [each["level"] for each in stderr()] == heard


def test_requests_are_quiet_above_info(stderr: Stderr, web: FlaskClient) -> None:
    logs.configure("warning")
    web.get("/livez")
    logs.configure("info")
    web.get("/readyz")
    assert [each["route"] for each in stderr()] == ["/readyz"]


# Requests


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(ORG, "transaction_batch").job_id


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines of the requests that follow."""
    caplog.set_level(logging.INFO)

    class Lines(list[dict[str, Any]]):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            return iter(line(each) for each in caplog.records if each.name == "batchstatus.requests")

    return Lines()


def test_a_request_is_one_line(web: FlaskClient, api_key: str, job_id: str, said: list[dict[str, Any]]) -> None:
    answer = web.get(f"/batch-import/jobs/{job_id}?include=", headers={"Authorization": f"Bearer {api_key}"})
    (found,) = said
    assert 0 < found.pop("ms") < 60_000
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "info",
        "logger": "batchstatus.requests",
        "message": "request",
        "requestId": answer.headers["X-Request-Id"],
        "method": "GET",
        "route": JOBS,
        "status": 200,
        "org": ORG,
        "job": job_id,
    }


@pytest.mark.parametrize(
    ("method", "path", "key", "expected"),
    [
        ("GET", "/batch-import/jobs/{}", False, {"status": 401, "route": JOBS, "org": None}),
        ("GET", "/batch-import/jobs/unknown", True, {"status": 404, "route": JOBS, "org": ORG, "job": "unknown"}),
        ("POST", "/batch-import/jobs/{}/control", True, {"status": 400, "method": "POST", "org": ORG}),
        ("DELETE", "/batch-import/jobs/{}", True, {"status": 405, "route": "(none)", "org": None, "job": None}),
        ("GET", "/livez", False, {"status": 200, "route": "/livez", "org": None, "job": None}),
        ("GET", "/nowhere", False, {"status": 404, "route": "(none)", "org": None, "job": None}),
        ("GET", "/batch-import/jobs/a%0Ab%22", True, {"status": 404, "job": 'a\nb"'}),
        ("GET", "/batch-import/jobs/%ED%A0%80%FF", True, {"status": 404, "org": ORG}),
    ],
)
def test_whatever_comes_of_it(
    web: FlaskClient,
    api_key: str,
    job_id: str,
    said: list[dict[str, Any]],
    method: str,
    path: str,
    key: bool,
    expected: dict[str, Any],
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"} if key else {}
    web.open(path.format(job_id), method=method, headers=headers)
    (found,) = said
    assert {name: found[name] for name in expected} == expected


def test_its_id_is_the_callers_if_it_is_a_sane_one(web: FlaskClient, said: list[dict[str, Any]]) -> None:
    given = ["my-request.1:2/3+4=", "x" * 128, "x" * 129, "two words", 'a"b', "ñ", ""]
    answers = [web.get("/livez", headers={"X-Request-Id": each}) for each in given]
    ids = [each["requestId"] for each in said]
    assert ids == [answer.headers["X-Request-Id"] for answer in answers]
    assert [own for own, asked in zip(ids, given, strict=True) if own == asked] == given[:2]
    assert len(set(ids)) == len(ids)


def test_a_key_is_in_no_line_wherever_the_caller_put_it(
    web: FlaskClient, api_key: str, job_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bearer = {"Authorization": f"Bearer {api_key}"}
    web.get(f"/batch-import/jobs/{job_id}", headers=bearer)
    web.get(f"/batch-import/jobs/{job_id}?key={api_key}")
    web.get(f"/batch-import/jobs/{job_id}?include={api_key}", headers=bearer)
    web.get(f"/batch-import/jobs/{api_key}", headers=bearer)
    web.get(f"/batch-import/jobs/x-{api_key}-x")
    web.get(f"/batch-import/transaction-jobs/{api_key}/failures.csv", headers=bearer)
    web.get(f"/{api_key}")
    web.get("/livez", headers={"X-Request-Id": api_key})
    web.get("/livez", headers={"Authorization": api_key, "Cookie": api_key, "User-Agent": api_key})
    web.post(f"/batch-import/jobs/{job_id}/control", json={"kind": api_key, "action": "x"}, headers=bearer)
    logged = "\n".join(logs.JsonFormatter().format(each) for each in caplog.records)
    assert logged.count('"message":"request"') == 10
    assert api_key not in logged
    assert api_key[4:] not in logged
