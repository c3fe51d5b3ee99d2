"""What scripts judge: a value that would leave a job damaged is refused before anything is written."""

import json

import pytest

from batchstatus import InvalidValue, JobExists, JobStore
from batchstatus.model.job import Status
from batchstatus.model.keys import JobKeys
from batchstatus.model.messages import Batch, Claim, Ending
from batchstatus.protocol import verbs
from batchstatus.protocol.verbs import Script

ORG = "org_judged"
KIND = "transaction_batch"
DAY = "86400000"
ROW = json.dumps({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no"})

NO_NUMBERS = ["6048000.000000001", "-3", "nan", "inf", "1e3", "0x10", " 5", "five", "9007199254740992"]

REPORT = ["1", "the token", "1", "30000", DAY, "10", "1", "", "7", "1", "0", "0", "0", "0"]
GIVEN: dict[str, tuple[Script, list[str]]] = {
    "create": (verbs.CREATE, [ORG, "other", KIND, "5", "{}", "0", "digest", DAY, "1", "300000"]),
    "claim": (verbs.CLAIM, ["the token", "30000", "3000", DAY, "running"]),
    "report": (verbs.REPORT, REPORT),
    "finish": (verbs.FINISH, ["1", "the token", "failed", "", "", DAY, "0", "failed"]),
    "control": (verbs.CONTROL, ["pause", DAY, ""]),
    "settle": (verbs.SETTLE, ["3000", DAY, "interrupted"]),
    "place": (verbs.PLACE, ["other", "1700000000000"]),
    "track": (verbs.TRACK, ["org:other", "1000", "LT"]),
    "move": (verbs.MOVE, ["org:other", "1700000000000"]),
    "forget": (verbs.FORGET, ["org:other", "1000"]),
    "due": (verbs.DUE, ["10"]),
    "turn": (verbs.TURN, ["the token", "1000"]),
}
"""Arguments that each script takes, for a job that a worker with fence 1 and `the token` runs."""

NUMBERS = {
    "create": {3: "total_items", 5: "takeover_ms", 7: "retention_ms", 8: "created_ms", 9: "fresh_ms"},
    "claim": {1: "lease_ms", 2: "grace_ms", 3: "retention_ms"},
    "report": {
        2: "seq",
        3: "lease_ms",
        4: "retention_ms",
        5: "max_rows",
        6: "succeeded",
        7: "total_items",
        9: "kept_ok",
        10: "kept_failed",
        11: "kept_skipped",
        12: "paused",
        13: "n_failures",
    },
    "finish": {5: "retention_ms", 6: "seq"},
    "control": {1: "retention_ms"},
    "settle": {0: "grace_ms", 1: "retention_ms"},
    "place": {1: "created_ms"},
    "track": {1: "in_ms"},
    "move": {1: "due_ms"},
    "forget": {1: "older_ms"},
    "due": {0: "limit"},
    "turn": {1: "turn_ms"},
}
"""The numbers among them, by their place."""

HARMLESS = {"seq", "max_rows", "kept_ok", "kept_failed", "kept_skipped", "paused"}
"""Numbers that may be as large as they like: they are compared, or it is their sender's own loss."""


@pytest.fixture
def running(store: JobStore) -> JobKeys:
    """The keys of a job that a worker with fence 1 and `the token` runs."""
    job = store.create(ORG, KIND, takeover_s=60)
    keys = store.connection.keys.job(ORG, job.job_id)
    verbs.claim(store.connection, keys, "the token")
    store.connection.write("EXPIRE", keys.job, SHORT_S)
    return keys


SHORT_S = 1_000_000
"""The time to live of a running job here; any write would give it the retention, which is longer."""


def stored(store: JobStore, keys: JobKeys) -> list[object]:
    """Returns all that a call could change; of the time to live, True if it was renewed."""
    *content, ttl_s = store.connection.transaction(
        ("HGETALL", keys.job), ("LRANGE", keys.failures, 0, -1), ("LRANGE", keys.skips, 0, -1), ("TTL", keys.job)
    )
    return [*content, ttl_s > SHORT_S]


def keys_for(verb: str, keys: JobKeys) -> tuple[str, ...]:
    """Returns the keys of a job, of a new one in the same slot, or of an index."""
    if verb == "create":
        return tuple(f"{key}:new" for key in keys)
    of_a_job = verb in ("claim", "report", "finish", "control", "settle")
    return keys if of_a_job else (f"{keys.job}:an-index",)


def refused(store: JobStore, keys: JobKeys, verb: str, arguments: list[str]) -> str:
    """Returns the argument with which a script is refused, once it is plain that nothing was written."""
    before = stored(store, keys)
    with pytest.raises(InvalidValue) as error:
        GIVEN[verb][0](store.connection, keys_for(verb, keys), *arguments)
    assert stored(store, keys) == before
    others = [each for each in keys_for(verb, keys) if each not in keys]
    assert not others or store.connection.transaction(("EXISTS", *others)) == [0]
    return str(error.value).split(":")[0].removeprefix("the store refused ")


@pytest.mark.parametrize(("verb", "at"), [(verb, at) for verb, places in NUMBERS.items() for at in places])
def test_a_number_that_is_none_is_refused_before_anything_is_written(
    store: JobStore, running: JobKeys, verb: str, at: int
) -> None:
    name = NUMBERS[verb][at]
    for wrong in NO_NUMBERS:
        if wrong.isdigit() and name in HARMLESS:
            continue
        arguments = [*GIVEN[verb][1]]
        arguments[at] = wrong
        assert refused(store, running, verb, arguments) in (name, "range" if wrong.isdigit() else name)


@pytest.mark.parametrize("verb", [verb for verb, places in NUMBERS.items() if "retention_ms" in places.values()])
def test_a_retention_of_0_would_delete_the_job_and_is_refused(
    store: JobStore, running: JobKeys, verb: str
) -> None:
    arguments = [*GIVEN[verb][1]]
    arguments[next(at for at, name in NUMBERS[verb].items() if name == "retention_ms")] = "0"
    assert refused(store, running, verb, arguments) == "retention_ms"


def test_more_failed_rows_than_are_sent_are_refused(store: JobStore, running: JobKeys) -> None:
    assert refused(store, running, "report", [*REPORT[:-1], "2", ROW]) == "range"


def test_rows_whose_sum_no_reader_could_have_are_refused(store: JobStore, running: JobKeys) -> None:
    most = str(2**53 - 1)
    given = [*REPORT]
    given[6], given[9] = most, "0"
    assert verbs.REPORT(store.connection, running, *given)[0] == "OK"
    given[2], given[6] = "2", "1"
    assert refused(store, running, "report", given) == "range"


@pytest.mark.parametrize("status", ["done", "running", "queued", ""])
def test_a_job_ends_with_a_terminal_status_only(store: JobStore, running: JobKeys, status: str) -> None:
    arguments = ["1", "the token", status, "", "", DAY, "0", status]
    assert refused(store, running, "finish", arguments) == "status"


@pytest.mark.parametrize(
    "failure", ["no JSON", "[]", "5", '"GAVE_UP"', '{"code": "GAVE_UP"}', '{"code": 1, "message": ""}']
)
def test_a_failure_that_no_reader_could_read_is_refused(store: JobStore, running: JobKeys, failure: str) -> None:
    arguments = ["1", "the token", "failed", "", failure, DAY, "0", "failed"]
    assert refused(store, running, "finish", arguments) == "job_failure"


def test_an_action_that_is_none_is_refused(store: JobStore, running: JobKeys) -> None:
    assert refused(store, running, "control", ["stop", DAY, ""]) == "action"


def test_a_batch_that_counts_backwards_is_an_invalid_value(store: JobStore, running: JobKeys) -> None:
    job = store.get(ORG, store.list(ORG).jobs[0].job_id)
    claim = Claim(job, fence=1, token="the token", seq=0, checkpoint=None)
    with pytest.raises(InvalidValue, match="succeeded"):
        verbs.report(store.connection, running, claim, 1, Batch(succeeded=-3))
    with pytest.raises(InvalidValue, match="job_failure"):
        verbs.finish(store.connection, running, claim, Ending(Status.FAILED, None, "{}"))


def test_creating_a_queued_job_again_mends_its_entry_that_was_lost(store: JobStore) -> None:
    job = store.create(ORG, KIND, job_id="lost")
    index = store.connection.keys.index(ORG, KIND, Status.QUEUED)
    store.connection.transaction(("ZREM", index, "lost"))
    assert store.create(ORG, KIND, job_id="lost") == job
    assert [each.job_id for each in store.list(ORG).jobs] == ["lost"]
    (score,) = store.connection.transaction(("ZSCORE", index, "lost"))
    assert float(score) == job.created_ms


def test_an_id_that_is_taken_by_another_kind_leaves_no_entry(store: JobStore) -> None:
    store.create(ORG, KIND, job_id="taken")
    with pytest.raises(JobExists):
        store.create(ORG, "user_event_batch", job_id="taken")
    entry = ("ZSCORE", store.connection.keys.index(ORG, "user_event_batch", Status.QUEUED), "taken")
    assert store.connection.transaction(entry) == [None]
    assert [each.job_id for each in store.list(ORG).jobs] == ["taken"]
