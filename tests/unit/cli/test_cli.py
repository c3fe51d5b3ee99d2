"""The command line, for people and for scripts: API keys, and following a job."""

import json
import os
import pty
import re
import signal
from contextlib import suppress
from datetime import timedelta

import pytest

from batchstatus import JobAborted, JobCancelled
from tests.support.commands import assert_refused, fresh_environment, runner, start
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"
CREATE = ("keys", "create", "--org", ORG, "--permission", "a:b")


@pytest.fixture
def batchstatus(capsys, monkeypatch):
    """Returns a function that runs a command."""
    fresh_environment(monkeypatch)
    return runner(capsys)


@pytest.fixture
def at_store(batchstatus, redis_url, monkeypatch):
    """Returns a function that runs a command on the real store, which the environment names."""
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", redis_url)
    return batchstatus


@pytest.fixture
def caller(live, real_store, batchstatus, monkeypatch):
    """Returns a function that runs a caller's command on the live service, with a key that may read."""
    monkeypatch.setenv("BATCHSTATUS_URL", live.url)
    monkeypatch.setenv("BATCHSTATUS_API_KEY", real_store.api_keys.create(ORG, ["events:create"])[0])
    return batchstatus


@pytest.fixture
def ended(real_store):
    """Returns a function that creates a job of 3 succeeded and some failed rows with the given end."""
    leave_with = {
        "failed": JobAborted("BAD_REFERENCES", "unknown entities"),
        "cancelled": JobCancelled(),
        "interrupted": KeyboardInterrupt(),
    }

    def made(status, failed=1):
        job = real_store.create(ORG, KIND, total_items=3 + failed, metadata={"fileName": "año.csv"})
        with suppress(JobAborted, KeyboardInterrupt), real_store.run(ORG, job.job_id) as run:
            run.succeeded(3)
            for number in range(failed):
                run.failed({"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": "=why, año"})
            if status in leave_with:
                raise leave_with[status]
        return job.job_id

    return made


# keys


def test_a_new_key_is_the_only_output_on_stdout(at_store, real_store):
    code, out, err = at_store(*CREATE, "--permission", "c:d")
    record = real_store.api_keys.verify(out.removesuffix("\n"))
    assert (code, record.org, record.permissions) == (0, ORG, {"a:b", "c:d"})
    assert (record.name, record.expires_at) == (None, None)
    assert record.id in err


@pytest.mark.parametrize(("permission", "said"), {"transactions:read": True, "events:create": False}.items())
def test_creating_a_key_that_cannot_read_jobs_prints_a_warning(at_store, permission, said):
    code, _, err = at_store("keys", "create", "--org", ORG, "--permission", permission)
    assert code == 0
    assert ("It cannot read jobs" in err and "transactions:create" in err) is said


def test_a_new_key_as_json_has_the_documented_members(at_store, real_store):
    code, out, err = at_store(*CREATE, "--expires-in", "90d", "--name", "importer", "--json")
    body = json.loads(out)
    record = real_store.api_keys.verify(body["key"])
    milliseconds = record.expires_at.isoformat(timespec="milliseconds")
    assert (code, err, list(body)) == (
        0,
        "",
        ["id", "key", "org", "permissions", "name", "createdAt", "expiresAt"],
    )
    assert (body["id"], body["org"], body["permissions"], body["name"]) == (record.id, ORG, ["a:b"], "importer")
    assert body["expiresAt"] == milliseconds.replace("+00:00", "Z")
    assert (record.expires_at - record.created_at).total_seconds() == 90 * 86_400
    assert json.loads(at_store(*CREATE, "--json").out)["expiresAt"] is None


@pytest.mark.parametrize(("life", "seconds"), {"45s": 45, "30m": 1_800, "12h": 43_200, "1d": 86_400}.items())
def test_a_key_expires_after_the_given_duration(at_store, real_store, life, seconds):
    record = real_store.api_keys.verify(at_store(*CREATE, "--expires-in", life).out.strip())
    assert (record.expires_at - record.created_at).total_seconds() == seconds


@pytest.mark.parametrize("life", ["90", "d", "1w", "-1d", "1.5h", "0s", "90000000d", "9999999999d", ""])
def test_an_invalid_duration_is_refused(at_store, real_store, life):
    assert_refused(at_store(*CREATE, "--expires-in", life), 2)
    assert real_store.api_keys.list(ORG) == []


def test_the_list_shows_everything_but_the_keys(at_store, real_store):
    key, record = real_store.api_keys.create(ORG, ["a:b", "c:d"])
    other, named = real_store.api_keys.create(ORG, ["a:b"], name="importer", expires_in_s=60)
    listed = at_store("keys", "list", "--org", ORG)
    as_json = at_store("keys", "list", "--org", ORG, "--json")
    assert (listed.code, as_json.code) == (0, 0)
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    time = r"\d{4}-[0-9T:.-]+Z"
    assert re.fullmatch(rf"{record.id}  a:b c:d  does not expire  created {time}", lines[record.id])
    assert re.fullmatch(rf"{named.id}  a:b  expires {time}  created {time}  importer", lines[named.id])
    members = {(each["id"], *each) for each in json.loads(as_json.out)}
    assert members == {(key_id, "id", "org", "permissions", "name", "createdAt", "expiresAt") for key_id in lines}
    assert not {key, other} & set(re.findall(r"bsk_[\w-]+", listed.out + as_json.out))


def test_a_revoked_key_no_longer_works(at_store, real_store):
    key, record = real_store.api_keys.create(ORG, ["a:b"])
    assert at_store("keys", "revoke", record.id) == (0, f"revoked {record.id}\n", "")
    assert real_store.api_keys.verify(key) is None
    assert_refused(at_store("keys", "revoke", record.id), 3, record.id)


def test_tickets_are_listed_and_revoked_as_keys_are(at_store, real_store):
    key, _ = real_store.api_keys.create(ORG, ["a:b"])
    of_job, record = real_store.tickets.create(ORG, job_id="november-1", api_key=key)
    of_all, kept = real_store.tickets.create(ORG)
    lines = at_store("keys", "list", "--org", ORG).out.splitlines()
    rest = dict(line.split("  ", 1) for line in lines[1:])
    assert rest[record.id].startswith("ticket for job november-1  expires 20")
    assert rest[kept.id].startswith("ticket for all jobs  expires 20")
    as_json = json.loads(at_store("keys", "list", "--org", ORG, "--json").out)
    listed = {each["id"]: each.get("ticket") for each in as_json[1:]}
    assert listed == {record.id: {"jobId": "november-1"}, kept.id: {"jobId": None}}
    assert at_store("keys", "revoke", record.id) == (0, f"revoked {record.id}\n", "")
    assert real_store.tickets.verify(of_job) is None
    assert real_store.tickets.verify(of_all) == kept
    assert_refused(at_store("keys", "revoke", record.id), 3, record.id)
    assert_refused(at_store("keys", "revoke", "a:b.0123456789ab"), 3, "a:b.0123456789ab")


def test_another_prefix_has_its_own_keys(at_store, monkeypatch):
    assert at_store(*CREATE, "--prefix", "other").code == 0
    assert at_store("keys", "list", "--org", ORG).out == ""
    monkeypatch.setenv("BATCHSTATUS_PREFIX", "other")
    assert len(at_store("keys", "list", "--org", ORG).out.splitlines()) == 1


# status, failures, watch


@pytest.mark.parametrize(
    ("status", "code"), {"completed": 0, "failed": 1, "cancelled": 1, "interrupted": 1}.items()
)
def test_the_exit_code_tells_how_the_job_ended(caller, ended, status, code):
    job_id = ended(status)
    lines = [f"{job_id}: {status}, 4 of 4 rows: 3 succeeded, 1 failed, 0 skipped"]
    lines += ["BAD_REFERENCES: unknown entities"] if status == "failed" else []
    assert caller("status", job_id) == (code, "\n".join([*lines, ""]), "")
    watched = caller("watch", job_id)
    assert (watched.code, watched.out.splitlines()[-len(lines) :]) == (code, lines)
    for command in ("status", "watch"):
        found = caller(command, job_id, "--json")
        body = json.loads(found.out)
        assert (found.code, body["jobId"], body["status"], body["failed"]) == (code, job_id, status, 1)
        assert body["metadata"] == {"fileName": "año.csv"}


def test_the_exit_code_of_a_job_that_has_not_ended_is_0(caller, real_store):
    job_id = real_store.create(ORG, KIND).job_id
    line = f"{job_id}: queued, 0 of ? rows: 0 succeeded, 0 failed, 0 skipped\n"
    assert caller("status", job_id) == (0, line, "")


def test_the_parts_of_a_split_job_are_printed_as_lines_or_json(caller, real_store):
    job_id = real_store.create(ORG, KIND, parts=2).job_id
    with real_store.run(ORG, job_id, part=2) as run:
        run.total(3)
        run.succeeded(2)
    code, out, _ = caller("status", "--parts", job_id)
    assert (code, out.splitlines()[1:]) == (
        0,
        ["  part 1: queued, 0 of ? rows, 0 failed", "  part 2: completed, 2 of 3 rows, 0 failed"],
    )
    body = json.loads(caller("status", "--parts", "--json", job_id).out)
    assert [part["status"] for part in body["parts"]] == ["queued", "completed"]
    assert "parts" not in json.loads(caller("status", "--json", job_id).out)


def test_failures_are_printed_as_lines_json_or_csv(caller, ended, tmp_path):
    job_id, file = ended("completed", failed=2), tmp_path / "failures.csv"
    assert caller("failures", job_id) == (0, "".join(f"T-{n}  VALIDATION_ERROR  =why, año\n" for n in (0, 1)), "")
    body = json.loads(caller("failures", job_id, "--json").out)
    assert (body["failuresTotal"], [row["externalId"] for row in body["failures"]]) == (2, ["T-0", "T-1"])
    csv = "external_id,code,error\r\n" + "".join(f'T-{n},VALIDATION_ERROR,"\'=why, año"\r\n' for n in (0, 1))
    assert caller("failures", job_id, "--csv", str(file)) == (0, "", "")
    assert file.read_bytes() == csv.encode()
    assert caller("failures", job_id, "--csv", "-") == (0, csv, "")


def test_beyond_500_failures_the_output_points_to_the_csv(caller, ended, tmp_path):
    job_id, file = ended("completed", failed=1_503), tmp_path / "failures.csv"
    code, out, err = caller("failures", job_id)
    assert (code, len(out.splitlines()), err) == (0, 500, "… and 1,003 more: use --csv\n")
    caller("failures", job_id, "--csv", str(file))
    assert len(file.read_text().splitlines()) == 1_504


def test_an_unknown_job_leaves_no_csv_file(caller, tmp_path):
    file = tmp_path / "failures.csv"
    assert_refused(caller("failures", "unknown", "--csv", str(file)), 3, "unknown")
    assert not file.exists()


def test_watch_prints_lines_without_a_terminal(caller, real_store):
    job_id = real_store.create(ORG, KIND, total_items=10).job_id
    with real_store.run(ORG, job_id) as run:
        run.succeeded(4)
        watching = start("watch", job_id)
        seen = next(line for line in watching.stdout if "4 of 10 rows" in line)
        run.succeeded(6)
    rest, err = watching.communicate(timeout=60)
    assert re.match(rf"{job_id}: running, 4 of 10 rows, 0 failed, 0 skipped", seen)
    assert re.search(rf"(?m)^{job_id}: completed, 10 of 10 rows, 0 failed, 0 skipped", rest)
    assert (watching.returncode, err, "\x1b" in seen + rest) == (0, "", False)


def test_watch_draws_a_bar_on_a_terminal(caller, real_store):
    job_id = real_store.create(ORG, KIND, total_items=10).job_id
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    drawn = b""

    def shows(*words):
        nonlocal drawn
        with suppress(OSError):
            drawn += os.read(ours, 65536)
        return all(word.encode() in drawn for word in words)

    with real_store.run(ORG, job_id) as run:
        run.succeeded(4)
        watching = start("watch", job_id, stdout=theirs)
        wait_until(lambda: shows("4/10", "━"), 60)
        run.succeeded(6)
    assert watching.wait(60) == 0
    wait_until(lambda: shows("completed: 10 succeeded.", "\x1b["), 5)
    os.close(ours)
    os.close(theirs)
    watching.communicate()


def test_ctrl_c_ends_watch_but_not_the_job(caller, real_store):
    job_id = real_store.create(ORG, KIND).job_id
    watching = start("watch", job_id)
    next(line for line in watching.stdout if "queued" in line)
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err.strip()) == (130, "")
    assert real_store.get(ORG, job_id).status == "queued"


def test_watch_shows_that_a_job_is_paused(caller, real_store):
    job_id = real_store.create(ORG, KIND, total_items=3).job_id
    with real_store.run(ORG, job_id):
        watching = start("watch", job_id)
        assert any(": running, 0 of 3" in line for line in watching.stdout)
        real_store.control(ORG, job_id, "pause")
        assert any(": pausing, 0 of 3" in line for line in watching.stdout)
    watching.communicate(timeout=30)


def test_history_explains_a_bad_parameter(caller):
    code, out, err = caller("history", "--created-after", "yesterday")
    assert (code, out) == (2, "")
    assert re.search("createdAfter.*2026-11-23T15:04:05Z", err)


def test_history_takes_a_date_as_its_start_in_utc(caller, real_store):
    made = real_store.create(ORG, KIND)
    day = made.created_at.date()
    for after, before, found in [(0, 1, True), (1, 2, False), (-1, 0, False)]:
        bounds = ("--created-after", str(day + timedelta(after)), "--created-before", str(day + timedelta(before)))
        code, out, _ = caller("history", *bounds)
        assert (code, made.job_id in out) == (0, found)
