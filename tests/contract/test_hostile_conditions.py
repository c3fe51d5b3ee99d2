"""Hostile `If-None-Match` and `Prefer` headers, sent to the live service."""

import pytest

from batchstatus import JobStore
from tests.conftest import ORG
from tests.support.hostile import BAD_REQUEST, JOB_ROUTES, RUN_ROUTES, UNAUTHENTICATED, ask
from tests.support.rawhttp import Answer
from tests.support.service import LiveService

HEADERS = ("If-None-Match", "Prefer")


class Poller:
    """Polls a job with raw header lines."""

    def __init__(self, live: LiveService, key: str, job_id: str) -> None:
        self._live, self._key = live, key
        self.path = f"/batch-import/jobs/{job_id}"
        self.usual = self.poll()
        self.tag = self.usual.headers["etag"]
        assert (self.usual.status, self.tag[:3]) == (200, 'W/"')

    def poll(self, *lines: str | bytes) -> Answer:
        return ask(self._live, self.path, *lines, key=self._key)

    def spelt(self, given: str) -> bytes:
        """Returns a header line with the job's entity tag for `{tag}`, without W/ for `{strong}`, without quotes
        for `{bare}`.
        """
        strong = self.tag.removeprefix("W/")
        return given.format(tag=self.tag, strong=strong, bare=strong.strip('"')).encode("latin-1")


@pytest.fixture
def poller(live: LiveService, key: str, job_id: str) -> Poller:
    return Poller(live, key, job_id)


def assert_304(answer: Answer, usual: Answer) -> None:
    """Assert a 304 without a body, with the headers of the 200 except those that describe the body."""
    same = {name: value for name, value in usual.unnamed[1].items() if not name.startswith("content-")}
    assert answer.unnamed == (304, same, b"")


# If-None-Match

NO_TAGS = [
    pytest.param(["If-None-Match:"], id="nothing"),
    pytest.param(["If-None-Match: nonsense"], id="no quotes"),
    pytest.param(["If-None-Match: {bare}"], id="the right one without its quotes"),
    pytest.param(['If-None-Match: "{bare}'], id="the right one with half of its quotes"),
    pytest.param(["If-None-Match: '{bare}'"], id="the right one in other quotes"),
    pytest.param(["If-None-Match: W/{tag}"], id="twice weak"),
    pytest.param(["If-None-Match: w/{strong}"], id="a small w"),
    pytest.param(["If-None-Match: W/ {strong}"], id="a space inside"),
    pytest.param(['If-None-Match: W/"'], id="half a tag"),
    pytest.param(["If-None-Match: ,,,"], id="commas"),
    pytest.param(["If-None-Match: {tag} {tag}"], id="no comma between two"),
    pytest.param(["If-None-Match: {tag}; q=1"], id="something after it"),
    pytest.param(['If-None-Match: "x", *'], id="a star among others"),
    pytest.param(["If-None-Match: W/*"], id="a weak star"),
    pytest.param(["If-None-Match: **"], id="two stars"),
    pytest.param(['If-None-Match: "' + "\xe9" * 20 + '"'], id="another one that is not ASCII"),
    pytest.param(["If-None-Match: \xff\xfe"], id="no ASCII at all"),
    pytest.param(['If-None-Match: "' + "x" * 5_000 + '"'], id="5 kB"),
    pytest.param(["If-None-Match: " + '"x",' * 1_900], id="7.6 kB of tags"),
    pytest.param(["If-None-Match: " + '"' * 7_999], id="8 kB of quotes"),
    pytest.param(["If-None-Match: " + '"' + "x" * 2_000 + '", {tag}'], id="the right one after 2 kB"),
    pytest.param(['If-None-Match: "x"', 'If-None-Match: "y"'], id="two others in two lines"),
    pytest.param(["If-None-Match: nonsense", "If-None-Match:"], id="nonsense in two lines"),
]
"""Header lines without a valid entity tag, with other tags only, or too long to be read."""


@pytest.mark.parametrize("lines", NO_TAGS)
def test_an_if_none_match_without_the_jobs_entity_tag_is_ignored(poller: Poller, lines: list[str]) -> None:
    encoded = [poller.spelt(line) for line in lines]
    assert poller.poll(*encoded).unnamed == poller.usual.unnamed
    # And the service does not wait for a change, since the caller knows no state to compare with
    asked_to_wait = poller.poll(*encoded, "Prefer: wait=30")
    assert (asked_to_wait.status, asked_to_wait.body) == (200, poller.usual.body)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["If-None-Match: {tag}"], id="the tag"),
        pytest.param(["If-None-Match: {strong}"], id="the tag as a strong one"),
        pytest.param(["If-None-Match: *"], id="a star"),
        pytest.param(["If-None-Match: {tag}, {tag}"], id="twice"),
        pytest.param(["If-None-Match: {tag}", "If-None-Match: {tag}"], id="twice, in two lines"),
        pytest.param(['If-None-Match: "x"', "If-None-Match: {tag}"], id="another one before"),
        pytest.param(["If-None-Match: {tag}", 'If-None-Match: "\xe9"'], id="another one after"),
        pytest.param(["If-None-Match:", "If-None-Match: {tag}"], id="an empty one before"),
    ],
)
def test_the_entity_tag_is_found_in_a_list_over_several_lines(poller: Poller, lines: list[str]) -> None:
    assert_304(poller.poll(*(poller.spelt(line) for line in lines)), poller.usual)


# Prefer

NO_WAITS = [
    pytest.param(["Prefer:"], id="nothing"),
    pytest.param(["Prefer: wait"], id="no number"),
    pytest.param(["Prefer: wait="], id="an empty number"),
    pytest.param(["Prefer: wait=0"], id="0"),
    pytest.param(["Prefer: wait=-1"], id="below 0"),
    pytest.param(["Prefer: wait=+1"], id="a sign"),
    pytest.param(["Prefer: wait=1.5"], id="a fraction"),
    pytest.param(["Prefer: wait=1e1"], id="an exponent"),
    pytest.param(["Prefer: wait=0x1"], id="hexadecimal"),
    pytest.param(["Prefer: wait=1_0"], id="an underscore"),
    pytest.param(["Prefer: wait=1 0"], id="a space inside"),
    pytest.param(["Prefer: wait=soon"], id="a word"),
    pytest.param(["Prefer: wait=\xd9\xa1\xd9\xa2"], id="Arabic digits"),
    pytest.param(["Prefer: wait=\xb2"], id="a superscript"),
    pytest.param(["Prefer: \xff\xfe=1"], id="no ASCII at all"),
    pytest.param(["Prefer: await=1"], id="another word"),
    pytest.param(["Prefer: respond-async"], id="another preference"),
    pytest.param(["Prefer: wait=" + "9" * 5_000], id="5,000 digits"),
    pytest.param(["Prefer: " + "wait=1, " * 900], id="7.2 kB of waits"),
    pytest.param(["Prefer: " + "x" * 8_000], id="8 kB"),
    pytest.param(["Prefer: wait=0", "Prefer: wait=1"], id="in two lines, of which the first counts"),
    pytest.param(["Prefer: wait=soon", "Prefer: wait=never"], id="nonsense in two lines"),
    pytest.param(["Prefer: " + "x" * 2_000, "Prefer: wait=1"], id="in the line after 2 kB"),
]
"""Header lines without a valid wait."""


@pytest.mark.parametrize("lines", NO_WAITS)
def test_a_prefer_without_a_valid_wait_is_answered_at_once(poller: Poller, lines: list[str]) -> None:
    encoded = [line.encode("latin-1") for line in lines]
    # The answer to a held request has Preference-Applied.
    assert_304(poller.poll(f"If-None-Match: {poller.tag}", *encoded), poller.usual)
    assert poller.poll(*encoded).unnamed == poller.usual.unnamed


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Prefer: wait=1", "Prefer: wait=30"], id="in two lines, of which the first counts"),
        pytest.param(["Prefer: respond-async", "Prefer: wait=1"], id="in the second line"),
        pytest.param(['Prefer: handling=strict; x="a", WAIT = "1" ; y=z'], id="spelt as oddly as may be"),
    ],
)
def test_an_oddly_spelt_wait_is_honoured(poller: Poller, lines: list[str]) -> None:
    answer = poller.poll(f"If-None-Match: {poller.tag}", *lines)
    assert answer.headers.pop("preference-applied") == "wait=1"
    assert_304(answer, poller.usual)


# Both


@pytest.mark.parametrize("name", HEADERS)
def test_either_header_of_9_kb_is_431(poller: Poller, name: str) -> None:
    for letter in (b"x", b'"', b"\xe9", b","):
        assert poller.poll(name.encode() + b": " + letter * 9_000).refusal == (431, "BAD_REQUEST")


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("broken", ["{}: a\0b", "{}: \0", "{} : a", "{}: a\rb", "{}: a\r\n b", "{}\0: a"])
def test_either_header_with_a_control_character_is_400(poller: Poller, name: str, broken: str) -> None:
    assert poller.poll(broken.format(name)).refusal == BAD_REQUEST


def test_both_headers_are_ignored_without_a_key(live: LiveService, job_id: str) -> None:
    for line in ("If-None-Match: *", "Prefer: wait=30", "If-None-Match: \xff", "Prefer: \xff"):
        for method, route in (*JOB_ROUTES, *RUN_ROUTES):
            given = (line.encode("latin-1"), "Prefer: wait=1")
            assert ask(live, route.format(job_id), *given, method=method).refusal == UNAUTHENTICATED


def test_both_headers_are_ignored_where_there_is_no_entity_tag(
    live: LiveService, real_store: JobStore, key: str
) -> None:
    job_id = real_store.create(ORG, "entity_automatic").job_id
    routes = [route.format(job_id) for method, route in JOB_ROUTES if method == "GET"]
    tagged = routes[:2]
    for path in (*routes, "/batch-import/jobs", f"/batch-import/jobs?ids={job_id}", "/livez", "/nothing"):
        usual = ask(live, path, key=key)
        assert ("etag" in usual.headers) is (path in tagged)
        if path not in tagged:
            assert ask(live, path, "If-None-Match: *", "Prefer: wait=30", key=key).unnamed == usual.unnamed
