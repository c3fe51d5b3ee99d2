"""Many callers at once, each on a connection of its own: nobody is forgotten over those who ask again at once."""

import select
from collections import Counter
from contextlib import ExitStack, closing, suppress
from threading import Thread

from batchstatus import connect
from tests.support.rawhttp import RawConnection, request
from tests.support.rawhttp import connect as connect_http
from tests.support.sdk import ORG, UNHURRIED
from tests.support.service import LiveService
from tests.support.waiting import wait_until

CALLERS = 64
MOST_ANSWERS = 10
"""How often one is answered, at most, before all are: some, for two processes do not share the callers evenly."""


def most_answers_until_all_have_one(port: int, poll: bytes) -> int:
    """All send a poll, and send it again as soon as they are answered, until each has had an answer."""
    answers: Counter[int] = Counter()
    with ExitStack() as stack:
        connected = [stack.enter_context(connect_http(port)) for _ in range(CALLERS)]
        callers = {each.fileno(): each for each in connected}
        for caller in callers.values():
            caller.sendall(poll)
        while len(answers) < CALLERS:
            for number in select.select([*callers], [], [], 20)[0]:
                assert callers[number].recv(65_536).startswith(b"HTTP/1.1 200 ")
                answers[number] += 1
                callers[number].sendall(poll)
    return max(answers.values())


def test_new_callers_do_not_wait_for_busy_ones(redis_url: str) -> None:
    with (
        closing(connect(redis_url, **UNHURRIED)) as store,
        LiveService(redis_url, BATCHSTATUS_WORKERS="2") as service,
    ):
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        poll = request("GET", f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}", key=key)
        rounds = [most_answers_until_all_have_one(service.port, poll) for _ in range(5)]
    assert min(rounds) <= MOST_ANSWERS  # a busy machine may let one process wait for the other


def test_who_sends_requests_without_waiting_for_answers_holds_up_nobody(redis_url: str) -> None:
    many, answered = 10_000, []
    with ExitStack() as stack:
        port = stack.enter_context(LiveService(redis_url, BATCHSTATUS_WORKERS="1")).port
        hasty, other = (stack.enter_context(RawConnection(port)) for _ in range(2))
        sending = Thread(target=hasty.send, args=(request() * many,))
        reading = Thread(target=lambda: answered.extend(hasty.receive().status for _ in range(many)))
        sending.start()
        reading.start()
        wait_until(lambda: len(answered) > 0)
        before = len(answered)
        other.send(request())
        assert other.receive().status == 200
        assert len(answered) - before < many / 2
        sending.join()
        reading.join()
    assert answered == [200] * many


def test_who_sends_a_body_without_end_holds_up_nobody_and_is_hung_up_on(redis_url: str) -> None:
    head = request("POST", "/livez", "Transfer-Encoding: chunked")
    with ExitStack() as stack:
        port = stack.enter_context(LiveService(redis_url, BATCHSTATUS_WORKERS="1")).port
        endless = stack.enter_context(connect_http(port))
        other = stack.enter_context(RawConnection(port))

        def send() -> None:
            with suppress(OSError):
                endless.sendall(head)
                while True:
                    endless.sendall(b"1\r\nx\r\n" * 1_000)

        sending = Thread(target=send)
        sending.start()
        assert endless.recv(65_536).startswith(b"HTTP/1.1 405 ")
        polls = 0
        while sending.is_alive():
            other.send(request())
            assert other.receive().status == 200
            polls += 1
        assert polls > 10
