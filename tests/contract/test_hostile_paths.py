"""Hostile job ids and paths, sent to the live service."""

import pytest

from batchstatus.model.ids import new_job_id
from tests.support.hostile import (
    BAD_REQUEST,
    JOB_NOT_FOUND,
    JOB_ROUTES,
    NOT_FOUND,
    RUN_ROUTES,
    UNAUTHENTICATED,
    ask,
)
from tests.support.service import LiveService

# Job ids


@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param("%0d%0a", id="a line break"),
        pytest.param("{job_id}%0d%0aX-Evil:%20yes", id="a header"),
        pytest.param("{job_id}%0a", id="a trailing newline"),
        pytest.param("%00", id="NUL"),
        pytest.param("{job_id}%00", id="a trailing NUL"),
        pytest.param("a%2Fb", id="a slash"),
        pytest.param("{job_id}%2f", id="a trailing slash, encoded"),
        pytest.param("%2F%2F", id="two slashes"),
        pytest.param("{job_id}%2Fcontrol", id="a slash that would lead elsewhere"),
        pytest.param("..", id="dots"),
        pytest.param("%2e%2e", id="dots, encoded"),
        pytest.param("..%2f..%2flivez", id="a way out"),
        pytest.param("{job_id};x=1", id="a semicolon"),
        pytest.param("{{}}", id="braces"),
        pytest.param("*", id="a star"),
        pytest.param("org_other:{job_id}", id="a colon"),
        pytest.param("{job_id}:failures", id="the key of its failures"),
        pytest.param("%ff%fe", id="no UTF-8"),
        pytest.param("%c0%af", id="overlong UTF-8"),
        pytest.param("%ed%a0%80", id="half a surrogate pair"),
        pytest.param("%D9%A3", id="an Arabic digit"),
        pytest.param("%EF%BC%A1", id="a fullwidth letter"),
        pytest.param("%zz", id="no percent encoding"),
        pytest.param("{job_id}%20", id="a trailing space"),
        pytest.param("{job_id}%23", id="a hash sign"),
        pytest.param("{job_id}%3Finclude=failures", id="a question mark"),
        pytest.param("x" * 65, id="65 characters"),
        pytest.param("x" * 4096, id="4 kB"),
    ],
)
def test_a_malformed_id_is_answered_like_an_unknown_one(
    live: LiveService, key: str, job_id: str, malformed: str
) -> None:
    for method, route in (*JOB_ROUTES, *RUN_ROUTES):
        target = route.format(malformed.format(job_id=job_id))
        unknown = ask(live, route.format(new_job_id()), method=method, key=key)
        answer = ask(live, target, method=method, key=key)
        assert answer.refusal == JOB_NOT_FOUND, target
        assert answer.unnamed == unknown.unnamed
        assert ask(live, target, method=method).refusal == UNAUTHENTICATED


def test_a_job_id_of_10_kb_is_414(live: LiveService, key: str) -> None:
    for method, route in (*JOB_ROUTES, *RUN_ROUTES):
        for more in ({"key": key}, {}):
            answer = ask(live, route.format("x" * 10_240), method=method, **more)
            assert answer.refusal == (414, "BAD_REQUEST"), route


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"/batch-import/jobs/\xff\xfe", id="bytes that are no ASCII"),
        pytest.param(b"/batch-import/jobs/\x00", id="NUL"),
        pytest.param(b"/batch-import/jobs/a b", id="a space"),
        pytest.param(b"/batch-import/jobs/a\tb", id="a tab"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"livez", id="no slash"),
        pytest.param(b"*", id="all of it"),
        pytest.param(b"elsewhere.test:443", id="another server"),
    ],
)
def test_an_invalid_request_target_is_400(live: LiveService, key: str, target: bytes) -> None:
    assert ask(live, target, key=key).refusal == BAD_REQUEST


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/nothing", "//livez", "/livez/", "/livez//", "///", "/%2Flivez", "/livez%2F", "/livez%00"),
        *("/LIVEZ", "/batch-import", "/batch-import/jobs/", "/batch-import//jobs/{}", "//batch-import/jobs/{}"),
        *("/batch-import/jobs/{}/", "/batch-import/jobs/{}//", "/batch-import/jobs//{}", "/./livez"),
        *("/batch-import/jobs/../jobs/{}", "/batch-import/jobs/{}/control/", "/batch-import/jobs/{}/failures"),
        *("//batch-import/jobs", "/batch-import/jobs//", "/batch-import/jobs/?limit=1"),
        *("//batch-import/jobs?ids={}", "/batch-import/jobs/?ids={}", "/batch-import//jobs?ids={}"),
        *("/batch-import/jobs;limit=1", "/batch-import/jobs%00", "/batch-import/jobs%0a", "/batch-import/jobs%3F"),
        *("/batch-import/jobs%2F{}", "/batch-import%2fjobs/{}", "/batch-import\\jobs\\{}"),
        *("/batch-import/entity-jobs/{}/failures.json", "http://elsewhere.test//livez"),
    ],
)
def test_an_unknown_path_is_404_with_and_without_a_key(
    live: LiveService, key: str, job_id: str, target: str
) -> None:
    with_key, without = (ask(live, target.format(job_id), **more) for more in ({"key": key}, {}))
    assert with_key.refusal == NOT_FOUND
    assert with_key.unnamed == without.unnamed


def test_an_absolute_request_target_is_accepted(live: LiveService, key: str, job_id: str) -> None:
    path = f"/batch-import/jobs/{job_id}"
    assert ask(live, f"http://elsewhere.test{path}", key=key).unnamed == ask(live, path, key=key).unnamed
    encoded = ask(live, "http://elsewhere.test/batch-import/jobs/a%2Fb?x=%2F", key=key)
    assert encoded.refusal == JOB_NOT_FOUND


def test_a_slash_in_the_query_does_not_affect_the_path(live: LiveService, key: str, job_id: str) -> None:
    answer = ask(live, f"/batch-import/jobs/{job_id}?include=a%2Fb", key=key)
    assert answer.json()["error"]["details"] == {"include": "unknown: a/b"}
