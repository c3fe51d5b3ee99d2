"""Which of a receiver's addresses are connected to."""

import threading

import pytest

from batchstatus.webhooks import sending
from batchstatus.webhooks.sending import Answer, Sender
from tests.support.receivers import HOST, accepting_nobody, answers, receiver
from tests.support.waiting import wait_until
from tests.unit.webhooks.posting import BODY, HANGS, HEADERS, NAME, PUBLIC, SHORT_S, Names, post_briefly


def test_a_name_is_looked_up_once_and_what_was_judged_is_connected_to(names: Names, dialled: list[str]) -> None:
    names.known[NAME] = [[PUBLIC], [HOST]]
    with receiver(answers(204)) as r:
        answer = Sender(allow_http=True).post(r.url_for(NAME), HEADERS, BODY)
        assert answer.delivered
        assert r.requests[0].header("host") == f"{NAME}:{r.port}"
    assert (names.lookups, dialled) == ([NAME], [PUBLIC])


def test_a_name_that_comes_to_mean_this_machine_is_sent_to_no_more(names: Names, dialled: list[str]) -> None:
    names.known[NAME] = [[PUBLIC], [HOST]]
    sender = Sender(allow_http=True)
    with receiver(answers(204)) as r:
        assert sender.post(r.url_for(NAME), HEADERS, BODY).delivered
        assert sender.post(r.url_for(NAME), HEADERS, BODY) == Answer(None, f"{NAME} has no public address")
        assert r.connections == 1
    assert dialled == [PUBLIC]


@pytest.mark.parametrize("addresses", [[HOST, PUBLIC], [PUBLIC, HOST], ["::1", "10.0.0.1", PUBLIC]])
def test_private_addresses_of_a_name_are_left_out(names: Names, dialled: list[str], addresses: list[str]) -> None:
    names.known[NAME] = [addresses]
    with receiver(answers(204)) as r:
        assert Sender(allow_http=True).post(r.url_for(NAME), HEADERS, BODY).delivered
    assert dialled == [PUBLIC]


@pytest.mark.parametrize("addresses", [[HOST], ["::1"], ["::ffff:127.0.0.1"], ["169.254.169.254", "fd00::1"]])
def test_a_name_with_private_addresses_alone_is_connected_to_only_if_allowed(
    names: Names, dialled: list[str], addresses: list[str]
) -> None:
    names.known[NAME] = [addresses]
    answer = Sender(allow_http=True).post(f"http://{NAME}/", HEADERS, BODY)
    assert (answer, dialled) == (Answer(None, f"{NAME} has no public address"), [])


def test_a_stored_url_that_the_rules_forbid_by_now_is_not_sent_to(dialled: list[str]) -> None:
    for url, said in {"http://8.8.8.8/": "is not https", "https://0x7f.1/": "leads to a private address"}.items():
        answer = Sender().post(url, HEADERS, BODY)
        assert (answer.status, said in answer.reason) == (None, True)
    assert dialled == []


def test_the_next_address_is_tried_if_connecting_fails(names: Names, dialled: list[str]) -> None:
    names.known[NAME] = [["127.0.0.2", HOST]]
    with receiver(answers(204)) as r:
        assert Sender(allow_private=True, allow_http=True).post(r.url_for(NAME), HEADERS, BODY).delivered
    assert dialled == ["127.0.0.2", HOST]


def test_an_address_that_never_accepts_leaves_time_for_the_next(names: Names, dialled: list[str]) -> None:
    names.known[NAME] = [["127.0.0.2", HOST]]
    with receiver(answers(204)) as r, accepting_nobody("127.0.0.2", r.port):
        del dialled[:]
        sender = Sender(allow_private=True, allow_http=True, timeout_s=4.0)
        assert sender.post(r.url_for(NAME), HEADERS, BODY).delivered
    assert dialled == ["127.0.0.2", HOST]


def test_a_few_addresses_are_tried_and_no_more(names: Names, dialled: list[str]) -> None:
    names.known[NAME] = [[f"127.0.0.{number}" for number in range(2, 20)]]
    with receiver(answers(204)) as r:
        answer = Sender(allow_private=True, allow_http=True).post(r.url_for(NAME), HEADERS, BODY)
    assert answer == Answer(None, "the connection failed: Connection refused")
    assert len(dialled) == sending.MAX_ADDRESSES


def test_an_unknown_name_is_no_answer(names: Names) -> None:
    answer = Sender(allow_http=True).post(f"http://{NAME}/", HEADERS, BODY)
    assert answer == Answer(None, f"no address of {NAME}: Name or service not known")


def test_a_resolver_that_hangs_holds_up_no_try(names: Names) -> None:
    assert post_briefly(f"http://{HANGS}/") == Answer(None, f"no address of {HANGS} within {SHORT_S} s")


def test_a_resolver_that_hangs_holds_up_no_try_of_another_name(names: Names) -> None:
    names.known[NAME] = [[HOST]]
    sender = Sender(allow_private=True, allow_http=True)
    hanging = threading.Thread(target=sender.post, args=(f"http://{HANGS}/", HEADERS, BODY))
    hanging.start()
    wait_until(lambda: names.lookups == [HANGS])
    with receiver(answers(204)) as r:
        assert sender.post(r.url_for(NAME), HEADERS, BODY).delivered
    assert hanging.is_alive()
    names.released.set()
    hanging.join()


def test_a_name_whose_turn_never_came_is_not_looked_up_later(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LOOKUPS", 1)
    sender = Sender(allow_private=True, allow_http=True, timeout_s=SHORT_S)
    for name in (HANGS, NAME):
        assert sender.post(f"http://{name}/", HEADERS, BODY).reason == f"no address of {name} within {SHORT_S} s"
    names.released.set()
    wait_until(lambda: "Name or service" in sender.post("http://next.acme.test/", HEADERS, BODY).reason)
    assert NAME not in names.lookups
