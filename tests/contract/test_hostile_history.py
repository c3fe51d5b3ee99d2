"""Hostile queries for several jobs, sent to the live service."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from batchstatus import JobStore, Kind
from batchstatus.model.ids import new_job_id
from tests.conftest import ORG
from tests.support.hostile import BAD_REQUEST, FORBIDDEN, INVALID_REQUEST, JOB_ROUTES, UNAUTHENTICATED, ask
from tests.support.rawhttp import Answer
from tests.support.service import LiveService

HISTORY = "/batch-import/jobs"
FIRST_OF_ALL, LAST_OF_ALL = "OTk5OTk5OTk5OTk5OTk5OS1h", "MC1h"
"""Cursors that the service never returned: 9999999999999999-a and 0-a."""

ARABIC_12 = "%D9%A1%D9%A2"
BAD_NUMBERS = (
    *("", "0", "-1", "%2B1", "101", "1_0", "1_000", "1.0", "1e1", "0x1", "%201", "1%0a", "1%00", "1,2", "NaN"),
    *(ARABIC_12, "%C2%B2", "%EF%BC%91", "%ff", "9" * 5_000, "0" * 5_000 + "1"),
)
"""Invalid values of `limit`, URL-encoded."""


def listed(live: LiveService, key: str, query: str = "") -> Any:
    """Returns the body of a page, or of several jobs. Asserts the members of the contract."""
    answer = ask(live, f"{HISTORY}?{query}", key=key)
    body = answer.json()
    assert answer.status == 200, (query, body)
    assert list(body) == ["success", "jobs", "notFound" if query.startswith("ids=") else "nextCursor"]
    assert body["success"] is True
    return body


def ids(jobs: Sequence[Any]) -> list[str]:
    return [job["jobId"] for job in jobs]


def assert_refused(answer: Answer, *named: str) -> None:
    """Assert that the answer is an INVALID_REQUEST that names exactly these parameters."""
    assert answer.refusal == INVALID_REQUEST
    assert set(answer.json()["error"]["details"]) == set(named)


# Filters, limits and cursors


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in BAD_NUMBERS),
        *(("cursor", value) for value in ("", "x", "null", "0", "%00", "a%00", "%ff", "%C3%A9", "MTI", "MTI=")),
        *(("cursor", value) for value in ("LTEtYQ", "MS1hL2I", "MS1hAA", "MS1hCg", "MS3DqQ", "2aEtYQ")),  # -1-a …
        *(("cursor", value) for value in ("A" * 201, "MTI%0d%0aX:%20y", "..%2f", "A" * 8_000)),
        *(("kind", value) for value in ("", "parcel", "TRANSACTION_BATCH", "%20transaction_batch", "*", "%ff")),
        *(("kind", f"transaction_batch{value}") for value in (",", "%00", "%0a", ",parcel", ";", "x" * 7_000)),
        *(("status", value) for value in ("", "pending", "Running", "%20running", "*", "%00", "%ff", "%C3%A9")),
        *(("status", f"running{value}") for value in (",", "%00", "%0a", ",pending", ";", "," * 7_000)),
        *(
            (name, value)
            for name in ("createdAfter", "createdBefore")
            for value in (
                *("", "now", "0", "1763996580", "-1", "NaN", "%00", "%ff", "9" * 5_000, "2026-11-23"),
                *("2026-11-23T15:04:05", "2026-13-01T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-23T25:00:00Z"),
                *("2026-11-23T00:00:00+01:00", "2026-11-23T00:00:00Zx", "2026-11-23T00:00:00Z%0a", ARABIC_12),
                *("2026-11-23T00:00:00Z%00", "2026-11-23T00:00:00%00Z", "2026-11-23%0000:00:00Z"),
                *("2026-11-23T00:00:00%2B00:00%00", "2026-11-23T00:00:00Z%00x", "12026-11-23T00:00:00Z"),
            )
        ),
        *((name, "x") for name in ("include", "Limit", "offset", "org", "ids[]", "%00", "%C3%A9", "__proto__")),
    ],
    ids=lambda value: f"{value:.32}",
)
def test_a_bad_parameter_is_400_and_named(live: LiveService, key: str, name: str, value: str) -> None:
    target = f"{HISTORY}?{name}={value}"
    assert_refused(ask(live, target, key=key), {"%00": "\0", "%C3%A9": "é"}.get(name, name))
    assert ask(live, target).refusal == UNAUTHENTICATED


GOOD = {
    "limit": "1",
    "cursor": FIRST_OF_ALL,
    "kind": "transaction_batch",
    "status": "queued",
    "createdAfter": "2026-01-01T00:00:00Z",
    "createdBefore": "2999-01-01T00:00:00Z",
    "ids": "a",
}


@pytest.mark.parametrize("name", [name for name in GOOD if name not in ("kind", "status", "ids")])
def test_a_repeated_parameter_that_is_no_list_is_400_and_named(live: LiveService, key: str, name: str) -> None:
    assert ask(live, f"{HISTORY}?{name}={GOOD[name]}", key=key).status == 200
    for one, other in itertools.product(("", "%00", GOOD[name]), repeat=2):
        for separator in ("&", "&&"):
            query = f"{name}={one}{separator}{name}={other}"
            assert_refused(ask(live, f"{HISTORY}?{query}", key=key), name)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=x&kind=parcel&status=pending&createdAfter=now&createdBefore=now&x=1",
         ["limit", "kind", "status", "createdAfter", "createdBefore", "x"]),
        ("limit=x&cursor=%00", ["limit", "cursor"]),
        ("limit=x&kind=parcel&kind=parcel", ["limit", "kind"]),
        ("ids=&limit=x&cursor=x", ["ids", "limit", "cursor"]),
    ],
)  # fmt: skip
def test_all_bad_parameters_are_named_at_once(live: LiveService, key: str, query: str, named: list[str]) -> None:
    assert_refused(ask(live, f"{HISTORY}?{query}", key=key), *named)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        pytest.param("limit=١٢".encode(), BAD_REQUEST, id="a limit that is not ASCII"),
        pytest.param(b"cursor=\x00", BAD_REQUEST, id="a cursor that is NUL"),
        pytest.param(b"status=\xff", BAD_REQUEST, id="a status that is no UTF-8"),
        pytest.param(b"createdAfter=2026-11-23 15:04:05Z", BAD_REQUEST, id="a time with a space"),
        pytest.param("ids=é".encode(), BAD_REQUEST, id="an id that is not ASCII"),
        pytest.param(b"cursor=" + b"A" * 9_000, (414, "BAD_REQUEST"), id="a cursor of 9 kB"),
        pytest.param(b"ids=" + b"a," * 4_500, (414, "BAD_REQUEST"), id="ids of 9 kB"),
    ],
)
def test_a_query_with_invalid_bytes_or_of_9_kb_is_a_bad_request(
    live: LiveService, key: str, query: bytes, refusal: tuple[int, str]
) -> None:
    for with_key in (key, None):
        assert ask(live, HISTORY.encode() + b"?" + query, key=with_key).refusal == refusal


def test_errors_of_access_come_before_errors_of_the_query(live: LiveService, real_store: JobStore) -> None:
    powerless, _ = real_store.api_keys.create(ORG, ["reports:read"])
    for query in ("", "?limit=x", "?cursor=%00", "?ids=", "?ids=a", "?ids=a&limit=1", "?x=1"):
        assert ask(live, HISTORY + query).refusal == UNAUTHENTICATED
        assert ask(live, HISTORY + query, key=powerless).refusal == FORBIDDEN


def test_repeated_words_in_a_filter_change_nothing(live: LiveService, key: str, job_id: str) -> None:
    for query in ("status=queued,failed,queued", "kind=transaction_batch,transaction_batch", "&&&"):
        assert listed(live, key, query) == listed(live, key)
    assert ids(listed(live, key)["jobs"]) == [job_id]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: f"{value:.32}")
def test_a_limit_does_not_affect_the_routes_of_a_job(
    live: LiveService, real_store: JobStore, key: str, value: str
) -> None:
    # Given a job with failed and skipped rows, so that every route has rows to show
    job_id = real_store.create(ORG, "entity_automatic").job_id
    with real_store.run(ORG, job_id) as run:
        for number in range(3):
            run.failed({"taxId": f"{number}", "type": "person", "code": "VALIDATION_ERROR", "message": "no name"})
            run.skipped({"taxId": f"{number}", "type": "person"})
    # Then a limit, which these routes do not know, changes nothing
    for method, route in JOB_ROUTES:
        if method == "GET":
            target = route.format(job_id)
            usual = ask(live, target, key=key)
            limited = ask(live, f"{target}{'&' if '?' in target else '?'}limit={value}", key=key)
            assert limited.unnamed == usual.unnamed
            assert usual.status == 200 or "entit" not in target
    raw = ask(live, f"/batch-import/entity-jobs/{job_id}/failures?limit=١٢".encode(), key=key)
    assert raw.refusal == BAD_REQUEST


@pytest.fixture
def theirs(real_store: JobStore) -> str:
    """A key of another organization."""
    made, _ = real_store.api_keys.create("org_other", ["events:create"])
    return made


@pytest.fixture
def ours(real_store: JobStore, theirs: str) -> list[str]:
    """Jobs of ORG, of all kinds, newest first. The other organization created a job before and after each."""
    for kind in itertools.islice(itertools.cycle(Kind), 8):
        for org in ("org_other", ORG):
            real_store.create(org, kind)
    real_store.create("org_other", "transaction_batch")
    return [job.job_id for job in real_store.list(ORG, limit=100).jobs]


def test_a_cursor_of_another_organization_reveals_nothing(
    live: LiveService, key: str, theirs: str, ours: list[str]
) -> None:
    seen = []
    for limit in range(1, 9):
        cursor = listed(live, theirs, f"limit={limit}")["nextCursor"]
        found = ids(listed(live, key, f"cursor={cursor}")["jobs"])
        assert found == ours[len(ours) - len(found) :]  # ORG's jobs from some position to the last
        seen.append(len(found))
    assert seen == sorted(seen, reverse=True)  # a later cursor is a later position in ORG's history too


def test_a_cursor_can_be_used_with_another_filter(
    live: LiveService, key: str, ours: list[str], real_store: JobStore
) -> None:
    for kind, other in itertools.permutations(Kind, 2):
        page = listed(live, key, f"kind={kind}&limit=1")
        (last,) = ids(page["jobs"])
        behind = ours[ours.index(last) + 1 :]
        wanted = [job_id for job_id in behind if real_store.get(ORG, job_id).kind is other]
        assert ids(listed(live, key, f"kind={other}&cursor={page['nextCursor']}")["jobs"]) == wanted
        for status, found in {"queued": behind, "failed": []}.items():
            body = listed(live, key, f"status={status}&cursor={page['nextCursor']}")
            assert (ids(body["jobs"]), body["nextCursor"]) == (found, None)


def test_an_invented_cursor_is_only_a_position(live: LiveService, key: str, ours: list[str]) -> None:
    assert ids(listed(live, key, f"cursor={FIRST_OF_ALL}")["jobs"]) == ours
    assert listed(live, key, f"cursor={LAST_OF_ALL}") == {"success": True, "jobs": [], "nextCursor": None}


# Several by id


@pytest.mark.parametrize("value", ["", ",", ",,,,", "," * 150])
def test_an_empty_list_of_ids_is_400(live: LiveService, key: str, value: str) -> None:
    assert_refused(ask(live, f"{HISTORY}?ids={value}", key=key), "ids")
    assert_refused(ask(live, f"{HISTORY}?ids", key=key), "ids")


def test_more_than_100_ids_are_400(live: LiveService, key: str, job_id: str) -> None:
    hundred = [f"id-{number}" for number in range(99)] + [job_id]
    body = listed(live, key, f"ids={','.join(hundred)}")
    assert (ids(body["jobs"]), body["notFound"]) == ([job_id], hundred[:-1])
    for more in (1, 2, 500):
        too_many = [*hundred, *(f"x{number}" for number in range(more))]
        assert_refused(ask(live, f"{HISTORY}?ids={','.join(too_many)}", key=key), "ids")


def test_too_many_parameters_give_a_single_detail(live: LiveService, key: str, job_id: str) -> None:
    many = "&".join(f"p{number}" for number in range(1_300))
    for path in (HISTORY, f"{HISTORY}/{job_id}"):
        assert_refused(ask(live, f"{path}?{many}", key=key), "query")
        assert ask(live, f"{path}?{many}").refusal[0] == 401


@pytest.mark.parametrize(
    "more",
    ["limit=1", "cursor=%00", "kind=parcel", "status=", "createdAfter=x", "createdBefore=", "include=failures"],
)
def test_ids_cannot_be_combined_with_other_parameters(live: LiveService, key: str, job_id: str, more: str) -> None:
    for query in (f"ids={job_id}&{more}", f"{more}&ids={job_id}"):
        assert_refused(ask(live, f"{HISTORY}?{query}", key=key), more.partition("=")[0])


def test_a_repeated_id_is_answered_once(live: LiveService, key: str, job_id: str) -> None:
    unknown = new_job_id()
    body = listed(live, key, f"ids={job_id},{unknown},{job_id},{unknown},{job_id}")
    assert (ids(body["jobs"]), body["notFound"]) == ([job_id], [unknown])


MALFORMED = {
    "%0d%0a": "\r\n",
    "%0d%0aX-Evil:%20yes": "\r\nX-Evil: yes",
    "{job_id}%0a": "{job_id}\n",
    "%00": "\0",
    "{job_id}%00": "{job_id}\0",
    "a%2Fb": "a/b",
    "{job_id}%2Fcontrol": "{job_id}/control",
    "..": "..",
    "{job_id};x=1": "{job_id};x=1",
    "%7B%7D": "{}",
    "*": "*",
    "org_other:{job_id}": "org_other:{job_id}",
    "{job_id}:failures": "{job_id}:failures",
    "{job_id}%20": "{job_id} ",
    "+{job_id}": " {job_id}",
    "%C3%A9": "é",
    "%D9%A3": "٣",
    "%22%5C": '"\\',
    "x" * 65: "x" * 65,
    "x" * 4_096: "x" * 4_096,
}
"""Malformed ids, URL-encoded, and how the answer returns them."""


@pytest.mark.parametrize(("sent", "shown"), MALFORMED.items(), ids=lambda each: f"{each!r:.32}")
def test_a_malformed_id_is_not_found_and_returned_unchanged(
    live: LiveService, key: str, job_id: str, sent: str, shown: str
) -> None:
    sent, shown = (each.replace("{job_id}", job_id) for each in (sent, shown))
    assert listed(live, key, f"ids={sent}") == {"success": True, "jobs": [], "notFound": [shown]}
    body = listed(live, key, f"ids={sent},{job_id},")
    assert (ids(body["jobs"]), body["notFound"]) == ([job_id], [shown, ""])
    assert ask(live, f"{HISTORY}?ids={sent}").refusal == UNAUTHENTICATED


@pytest.mark.parametrize("sent", ["%ff", "%ff%fe", "%c0%af", "%ed%a0%80", "%zz", "%", "{job_id}%ff"])
def test_an_id_that_is_not_utf_8_is_not_found(live: LiveService, key: str, job_id: str, sent: str) -> None:
    body = listed(live, key, f"ids={sent.format(job_id=job_id)},{job_id}")
    assert (ids(body["jobs"]), len(body["notFound"])) == ([job_id], 1)


def test_jobs_of_another_organization_are_answered_like_unknown_ones(
    live: LiveService, real_store: JobStore, theirs: str, ours: list[str], key: str
) -> None:
    for job_id in ours:
        unknown = new_job_id()
        foreign = ask(live, f"{HISTORY}?ids={job_id}", key=theirs).unnamed
        nothing = ask(live, f"{HISTORY}?ids={unknown}", key=theirs).unnamed
        assert foreign[:2] == nothing[:2]
        assert foreign[2] == nothing[2].replace(unknown.encode(), job_id.encode())
    assert not set(ids(listed(live, theirs, "limit=100")["jobs"])) & set(ours)
    assert ids(listed(live, key, f"ids={','.join(ours)}")["jobs"]) == ours


def test_two_organizations_with_the_same_id_each_see_their_own_job(
    live: LiveService, real_store: JobStore, key: str, theirs: str
) -> None:
    real_store.create(ORG, "transaction_batch", job_id="november")
    real_store.create("org_other", "entity_automatic", job_id="november")
    for with_key, kind in ((key, "transaction_batch"), (theirs, "entity_automatic")):
        for query in ("ids=november", "limit=1"):
            assert [job["kind"] for job in listed(live, with_key, query)["jobs"]] == [kind]
