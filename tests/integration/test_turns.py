"""Many reapers, idle ones: how little they ask of the store, and that any one of them is enough."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from batchstatus import JobStore, reaper
from batchstatus.jobs import turns
from batchstatus.jobs.turns import Turn
from batchstatus.reaper import Reaper
from batchstatus.transport.connection import Connection
from tests.support.reaping import KEYS, SETTINGS, claimed, stored
from tests.support.waiting import wait_until

TURN, _ = KEYS.turns()


class Counting:
    """A client that counts what is sent, and refuses what `refuses` picks."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client, self.sent = client, Counter[str]()
        self.refuses: Callable[[str], bool] = lambda _: False

    def execute_command(self, *words: Any) -> Any:
        self.sent[words[0]] += 1
        if self.refuses(" ".join(map(str, words))):
            raise redis.ConnectionError("connection refused")
        return self.client.execute_command(*words)

    def pipeline(self, **options: Any) -> Any:
        return self.client.pipeline(**options)


@pytest.fixture
def many(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Counting, Reaper]]]:
    """Ten reapers that are started one after the other, each with a client of its own."""
    monkeypatch.setattr(reaper, "INTERVAL_S", 0.1)
    with ExitStack() as ending:
        found = []
        for _ in range(10):
            counting = Counting(client)
            each = Reaper(JobStore(counting, SETTINGS))  # type: ignore[arg-type]
            each.start()
            ending.callback(each.stop)
            found.append((counting, each))
        yield found


def looks(counting: Counting) -> int:
    return counting.sent["EVALSHA"] + counting.sent["EVAL"]


def test_of_many_idle_reapers_one_looks_and_the_others_ask_little(many: list[tuple[Counting, Reaper]]) -> None:
    wait_until(lambda: sum(looks(counting) for counting, _ in many) > 4)
    for counting, _ in many:
        counting.sent.clear()
    wait_until(lambda: max(looks(counting) for counting, _ in many) >= 20)
    # Ten that all looked would have sent 200 scripts. Two turns may change hands on a machine that stalls.
    assert sum(looks(counting) for counting, _ in many) < 60
    assert sum(counting.sent["PTTL"] for counting, _ in many) < 100


def test_an_idle_look_is_one_command_for_all_buckets(client: "redis.Redis") -> None:
    counting = Counting(client)
    found = Reaper(JobStore(counting, SETTINGS))  # type: ignore[arg-type]
    found.reap()
    counting.sent.clear()
    found.reap()
    assert counting.sent == {"EVALSHA": 1}


def test_where_the_one_that_looks_stops_another_goes_on(
    client: "redis.Redis", many: list[tuple[Counting, Reaper]]
) -> None:
    store = JobStore(client, SETTINGS)
    for _ in range(3):
        wait_until(lambda: client.exists(TURN))
        leading = max(many, key=lambda each: looks(each[0]))
        many.remove(leading)
        leading[1].stop()
        job = claimed(store, client)
        wait_until(lambda job=job: stored(client, job)["status"] == "interrupted")  # type: ignore[misc]


def test_a_reaper_that_cannot_reach_the_store_leaves_its_turn_to_another(
    client: "redis.Redis", many: list[tuple[Counting, Reaper]]
) -> None:
    store = JobStore(client, SETTINGS)
    wait_until(lambda: max(looks(counting) for counting, _ in many) > 2)
    cut_off, _ = max(many, key=lambda each: looks(each[0]))
    cut_off.refuses = lambda _: True
    job = claimed(store, client)
    wait_until(lambda: stored(client, job)["status"] == "interrupted")


# The turn itself


@pytest.fixture
def line(client: "redis.Redis") -> Counting:
    return Counting(client)


def turn(line: Counting, lasts_s: float = 60) -> Turn:
    return Turn(Connection(line, SETTINGS), TURN, lasts_s)  # type: ignore[arg-type]


def test_a_turn_is_kept_until_it_ends(line: Counting, client: "redis.Redis") -> None:
    mine, other = turn(line), turn(line)
    assert mine.others_s() == 0
    assert 59 < other.others_s() <= 60
    client.pexpire(TURN, 30_000)
    assert mine.others_s() == 0  # and so lasts as long as at first
    assert 59 < other.others_s() <= 60
    client.delete(TURN)
    assert other.others_s() == 0
    assert 59 < mine.others_s() <= 60


def test_who_waits_for_its_end_asks_with_one_command(line: Counting) -> None:
    mine, other = turn(line), turn(line)
    mine.others_s()
    other.others_s()
    line.sent.clear()
    other.others_s()
    assert line.sent == {"PTTL": 1}


def test_a_turn_by_a_frozen_reaper_ends(line: Counting) -> None:
    assert turn(line, lasts_s=0.05).others_s() == 0
    other = turn(line, lasts_s=0.05)
    wait_until(lambda: other.others_s() == 0)


def test_who_has_left_it_stands_back_while_another_has_it_and_looks_while_nobody_has(
    line: Counting, client: "redis.Redis"
) -> None:
    mine, other = turn(line), turn(line)
    assert mine.others_s() == 0
    mine.leave()
    client.delete(TURN)  # its time is up
    assert mine.others_s() == 0
    assert not client.exists(TURN)
    assert other.others_s() == 0
    mine.leave()
    assert 59 < mine.others_s() <= 60


@pytest.mark.parametrize("left_s", [None, 3_600])
def test_nobody_has_it_for_ever(line: Counting, client: "redis.Redis", left_s: int | None) -> None:
    client.hset(TURN, "holder", "somebody")
    if left_s:
        client.expire(TURN, left_s)
    assert turn(line, lasts_s=0.5).others_s() == 0


def test_a_damaged_turn_keeps_nobody_from_looking(line: Counting, client: "redis.Redis") -> None:
    client.set(TURN, "text")
    assert turn(line).others_s() == 0


def test_where_the_turn_cannot_be_asked_for_a_reaper_looks_and_asks_no_more_for_a_while(
    line: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(turns.time, "monotonic", lambda: now_s)
    assert turn(line).others_s() == 0
    line.refuses = lambda words: TURN in words
    refused = turn(line)
    assert [refused.others_s() for _ in range(3)] == [0, 0, 0]
    assert line.sent["PTTL"] == 2  # that of the other, and the one that was refused
    line.refuses = lambda _: False
    now_s += turns.WITHOUT_S
    assert refused.others_s() > 0


def test_memory_that_is_full_takes_turns_all_the_same(line: Counting, redis_client: "redis.Redis") -> None:
    redis_client.config_set("maxmemory", 1)
    try:
        over = Connection(redis_client, SETTINGS)
        mine, other = (Turn(over, TURN, 60) for _ in range(2))
        assert mine.others_s() == 0
        assert other.others_s() > 0
    finally:
        redis_client.config_set("maxmemory", 0)
