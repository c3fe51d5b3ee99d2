"""A store that hangs or is gone: 503 within the time limit, never a hang or a wrong status (contract §7)."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from batchstatus import JobStore
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from tests.support.outage import Stage, Timed, at_once, is_whole, mend, own_stage
from tests.support.rawhttp import Answer, exchange, request
from tests.support.sdk import UNHURRIED
from tests.support.waiting import wait_until
from tests.support.wire import JOB, JOB_ROUTES, ORG, checked_error, error_of, get, put_job

pytestmark = pytest.mark.slow

POLLERS = 40
ANSWERED_S = 1.2
"""The configured time limit of 1 s, and a margin for sending the answer."""
BURSTS = 5
RECOVERED_S = 2.0
"""The store's timeout, the quarter of a second between two pings, and a margin for the polls that tell."""
IN_A_ROW = 10


@pytest.fixture(scope="module")
def own() -> Iterator[Stage]:
    with own_stage() as stage:
        yield stage


@pytest.fixture
def stage(own: Stage) -> Iterator[Stage]:
    """A healthy store and service, and a running job_1 that both processes have served."""
    mend(own)
    yield own
    mend(own)


def is_unavailable(answer: Answer) -> bool:
    """Returns True for a complete 503 STORE_UNAVAILABLE, with Retry-After and request id."""
    code = checked_error(answer.headers["content-type"], answer.body)
    tries_again = int(answer.headers.get("retry-after", 0)) >= 1
    return (answer.status, code, tries_again) == (503, "STORE_UNAVAILABLE", True) and bool(
        answer.headers["x-request-id"]
    )


def slowest_s(timed: list[Timed]) -> float:
    return max(each.took_s for each in timed)


def assert_unavailable_in_time(stage: Stage, sent: list[bytes]) -> None:
    """Assert that every request is answered with 503, and within the time limit in one of a few bursts.

    On a busy machine any burst takes a while: answers that need no store show how long, which is allowed for.
    """
    seen_s: list[tuple[float, float]] = []
    while not seen_s or seen_s[-1][0] > ANSWERED_S + seen_s[-1][1]:
        assert len(seen_s) < BURSTS, f"slowest, and slowest without the store: {seen_s}"
        busy_s = slowest_s(at_once(stage, [request("GET", "/nothing")] * len(sent)))
        timed = at_once(stage, sent)
        assert [each.answer for each in timed if not is_unavailable(each.answer)] == []
        seen_s.append((slowest_s(timed), busy_s))


TROUBLE: dict[str, Callable[[Stage], None]] = {
    "hangs": lambda stage: stage.server.pause(),
    "is gone": lambda stage: stage.server.kill(),
}
CURE: dict[str, Callable[[Stage], object]] = {
    "hangs": lambda stage: stage.server.resume(),
    "is gone": lambda stage: stage.server.start(),
}
HANGS_OR_IS_GONE = pytest.mark.parametrize("trouble", TROUBLE)


@HANGS_OR_IS_GONE
def test_many_polls_are_answered_in_time_and_the_service_recovers_soon(stage: Stage, trouble: str) -> None:
    before = stage.get(JOB.format("job_1"))

    def is_well() -> bool:
        answers = [stage.get(JOB.format("job_1")) for _ in range(IN_A_ROW)]
        return all((each.status, each.body) == (200, before.body) for each in answers)

    seen_s: list[float] = []
    while not seen_s or seen_s[-1] > RECOVERED_S:  # a busy machine may take longer once, and not each time
        assert len(seen_s) < BURSTS, f"until {IN_A_ROW} polls in a row were answered with the job: {seen_s}"
        TROUBLE[trouble](stage)
        assert_unavailable_in_time(stage, [stage.request(JOB.format("job_1"))] * POLLERS)
        CURE[trouble](stage)
        back_at = time.monotonic()
        wait_until(is_well)
        seen_s.append(time.monotonic() - back_at)


@HANGS_OR_IS_GONE
def test_a_key_that_is_not_cached_is_503_not_401(stage: Stage, trouble: str) -> None:
    store = JobStore.open(stage.server.url, StoreSettings(**UNHURRIED))
    fresh = [store.api_keys.create(ORG, ["events:create"])[0] for _ in range(POLLERS)]
    store.close()
    TROUBLE[trouble](stage)
    sent = [request("GET", JOB.format("job_1"), key=key) for key in fresh]
    assert_unavailable_in_time(stage, sent)


@HANGS_OR_IS_GONE
def test_exactly_the_routes_that_need_the_store_are_503(stage: Stage, trouble: str) -> None:
    ways = [route.format(job_id) for route in JOB_ROUTES for job_id in ("job_1", "no_such_job")]
    TROUBLE[trouble](stage)
    assert_unavailable_in_time(stage, [*(stage.request(way) for way in ways), request("GET", "/readyz")])
    assert exchange(stage.service.port, stage.request(JOB.format("job_1"), "HEAD")).status == 503
    unaffected = {
        request("GET", "/livez"): 200,
        request("GET", "/nothing"): 404,
        request("PUT", "/livez"): 405,
        request("GET", JOB.format("job_1")): 401,
    }
    for sent, status in unaffected.items():
        assert {exchange(stage.service.port, sent).status for _ in range(5)} == {status}


def test_more_polls_than_connections_are_all_503(stage: Stage) -> None:
    for _ in range(5):
        stage.server.pause()
        timed = at_once(stage, [stage.request(JOB.format("job_1"))] * 320)
        assert [each.answer for each in timed if not is_unavailable(each.answer)] == []
        stage.server.resume()
        wait_until(lambda: is_whole(stage))


def test_nobody_gets_another_callers_answer_whatever_the_store_does(stage: Stage) -> None:
    paths = {f"mine_{number}": JOB.format(put_job(stage.client, f"mine_{number}")) for number in range(20)}
    over, statuses, wrong = threading.Event(), set(), []

    def poll(job_id: str) -> None:
        while not over.is_set():
            answer = stage.get(paths[job_id])
            statuses.add(answer.status)
            if answer.status != 503 and f'"jobId":"{job_id}"'.encode() not in answer.body:
                wrong.append(answer)

    pollers = [threading.Thread(target=poll, args=(job_id,)) for job_id in paths]
    for each in pollers:
        each.start()
    try:
        for trouble in list(TROUBLE) * 3:
            TROUBLE[trouble](stage)
            wait_until(lambda: stage.get(paths["mine_0"]).status == 503)
            CURE[trouble](stage)
            wait_until(lambda: stage.get(paths["mine_0"]).status == 200)
    finally:
        over.set()
        for each in pollers:
            each.join()
    assert (wrong, statuses) == ([], {200, 503})


def test_a_cached_key_is_not_honoured_for_long_while_the_store_is_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore.open(stage.server.url, StoreSettings())
    web = create_app(store).test_client()
    assert get(web, JOB.format("not.an.id"), stage.key).status_code == 404
    stage.server.kill()
    assert error_of(get(web, JOB.format("job_1"), stage.key)) == (503, "STORE_UNAVAILABLE")
    later_s = time.monotonic() + 5.0
    monkeypatch.setattr("batchstatus.web.access.time.monotonic", lambda: later_s)
    for route in JOB_ROUTES:
        assert error_of(get(web, route.format("not.an.id"), stage.key)) == (503, "STORE_UNAVAILABLE")
    store.close()
