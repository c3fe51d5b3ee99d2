"""`batchstatus webhooks`: endpoints, what they were told, and once more."""

import json
from typing import Any

import pytest

from batchstatus import JobStore
from batchstatus.webhooks.secrets import Secrets
from tests.support.commands import Run, assert_refused, fresh_environment, runner
from tests.support.notified import KEY, KIND, ORG, Notified
from tests.support.waiting import wait_until

URL = "https://93.184.215.14/imports"
"""Of an address, so that nothing is looked up."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str) -> Run:
    fresh_environment(monkeypatch)
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", redis_url)
    monkeypatch.setenv("BATCHSTATUS_WEBHOOKS_KEY", KEY)
    return runner(capsys)


@pytest.fixture
def notified(real_store: JobStore) -> Notified:
    return Notified(real_store)


def added(run: Run, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("webhooks", "add", "--org", ORG, URL, "--json", *options).out)
    return found


def test_the_secret_of_a_new_endpoint_is_the_only_output_on_stdout(run: Run, notified: Notified) -> None:
    code, out, err = run("webhooks", "add", "--org", ORG, URL)
    (endpoint,) = notified.endpoints.list(ORG)
    assert (code, out) == (0, f"{Secrets([KEY]).newest(endpoint.secrets[0].name)}\n")
    assert endpoint.id in err
    assert "cannot be shown again" in err


def test_an_endpoint_is_listed_with_what_it_is_told_of_and_without_its_secret(run: Run) -> None:
    every = added(run)
    some = added(run, "--kind", KIND, "--type", "job.failed")
    result = run("webhooks", "list", "--org", ORG)
    assert result.out.splitlines() == [
        f"{every['id']}  {URL}  every end",
        f"{some['id']}  {URL}  only {KIND} job.failed",
    ]
    listed = json.loads(run("webhooks", "list", "--org", ORG, "--json").out)
    assert [each["id"] for each in listed] == [every["id"], some["id"]]
    assert (listed[1]["kinds"], listed[1]["types"], listed[1]["url"]) == ([KIND], ["job.failed"], URL)
    assert "secret" not in json.dumps(listed)


def test_a_removed_endpoint_is_not_listed(run: Run) -> None:
    endpoint = added(run)
    assert run("webhooks", "remove", endpoint["id"]).out == f"removed {endpoint['id']}\n"
    assert run("webhooks", "list", "--org", ORG).out == ""
    assert_refused(run("webhooks", "remove", endpoint["id"]), 2, "there is no endpoint", endpoint["id"])


def test_rotating_prints_another_secret(run: Run) -> None:
    endpoint = added(run)
    rotated = run("webhooks", "rotate", endpoint["id"], "--overlap", "1h")
    assert rotated.code == 0
    assert rotated.out.startswith("whsec_")
    assert rotated.out.strip() != endpoint["secret"]


@pytest.mark.parametrize(
    ("options", "words"),
    {
        ("http://93.184.215.14/",): ("http",),
        ("https://127.0.0.1/",): ("127.0.0.1",),
        ("https://user:password@93.184.215.14/",): ("password",),
        (URL, "--kind", "no_such_kind"): ("no_such_kind",),
        (URL, "--type", "job.running"): ("job.running", "job.completed"),
        (URL, "--webhooks-allow", "everything"): ("everything",),
    }.items(),
    ids=lambda each: " ".join(each) if each and each[0].startswith("http") else "",
)
def test_an_endpoint_that_cannot_be_is_refused(
    run: Run, notified: Notified, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(run("webhooks", "add", "--org", ORG, *options), 2, *words)
    assert notified.endpoints.list(ORG) == []


def test_a_key_that_is_too_short_is_refused_and_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSTATUS_WEBHOOKS_KEY", "too short a key")
    result = run("webhooks", "add", "--org", ORG, URL)
    assert_refused(result, 2, "BATCHSTATUS_WEBHOOKS_KEY", "32 characters")
    assert "too short a key" not in result.err


def test_the_key_comes_from_the_environment_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(run("webhooks", "add", "--org", ORG, URL, "--webhooks-key", KEY), 2, "No such option")
    monkeypatch.setenv("BATCHSTATUS_WEBHOOKS_KEY", "")  # as `${KEY:-}` gives it
    assert_refused(run("webhooks", "add", "--org", ORG, URL), 2, "BATCHSTATUS_WEBHOOKS_KEY is not set")
    monkeypatch.delenv("BATCHSTATUS_WEBHOOKS_KEY")
    assert_refused(run("webhooks", "add", "--org", ORG, URL), 2, "BATCHSTATUS_WEBHOOKS_KEY is not set")
    assert_refused(run("webhooks", "rotate", "org_acme.0123"), 2, "BATCHSTATUS_WEBHOOKS_KEY is not set")


def test_deliveries_say_what_became_of_each_notice_the_latest_first(run: Run, notified: Notified) -> None:
    endpoint = added(run)
    notified.completed(job_id="november-1")
    notified.send()
    notified.completed(job_id="november-2")
    notified.reaper.reap()
    second, first = run("webhooks", "deliveries", "--org", ORG).out.splitlines()
    assert first.startswith(f"november-1  {endpoint['id']}  delivered after 1 try: HTTP 200, 20")
    assert second == f"november-2  {endpoint['id']}  due now"
    (listed,) = json.loads(run("webhooks", "deliveries", "--org", ORG, "--job", "november-1", "--json").out)
    assert (listed["jobId"], listed["state"], listed["tries"]) == ("november-1", "delivered", 1)
    assert listed["id"] == notified.receiver.ids[0]
    assert run("webhooks", "deliveries", "--org", "org_other").out == ""


def test_replay_sends_an_end_once_more_to_all_or_to_one(run: Run, notified: Notified) -> None:
    first, second = added(run), added(run, "--type", "job.failed")
    notified.completed(job_id="november-1")
    notified.send()
    assert run("webhooks", "replay", "--org", ORG, "november-1").out == (
        f"november-1 is sent to {first['id']} once more\n"
    )
    replayed = run("webhooks", "replay", "--org", ORG, "november-1", "--endpoint", second["id"])
    assert replayed.out == f"november-1 is sent to {second['id']} once more\n"
    wait_until(lambda: (notified.send(), len(notified.receiver.requests) == 3)[-1])
    assert notified.receiver.ids.count(notified.receiver.ids[0]) == 2
    assert_refused(run("webhooks", "replay", "--org", ORG, "december"), 3, "no such job")
    other = run("webhooks", "replay", "--org", "org_other", "november-1", "--endpoint", first["id"])
    assert_refused(other, 2, first["id"], "org_other")
