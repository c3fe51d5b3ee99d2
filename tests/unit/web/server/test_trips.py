"""Polls that arrive together: who shares a trip, and what becomes of it when the store is in trouble."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gevent
import pytest
import redis
from gevent.socket import socketpair, wait_read

from batchstatus import JobCorrupt, StoreUnavailable
from batchstatus.settings import StoreSettings
from batchstatus.transport.line import Line
from batchstatus.web.server import trips
from batchstatus.web.server.trips import SharingConnection


class WatchedLine(Line):
    """A line that notes its trips, and whose store can be away or slow."""

    def __init__(self, connection: "Watched") -> None:
        super().__init__(connection.client.connection_pool)
        self.watched = connection
        connection.lines += 1

    def hashes(self, keys: Sequence[str]) -> list[Any]:
        self.watched.trips.append(len(keys))
        self.watched.trouble()
        return super().hashes(keys)


class Watched(SharingConnection):
    """A connection that keeps count of its lines and their trips."""

    def __init__(self, client: "redis.Redis") -> None:
        super().__init__(client, StoreSettings(timeout_s=0.3))
        self.client = client
        self.lines = 0
        self.trips: list[int] = []
        self.trouble: Callable[[], object] = lambda: None

    def line(self) -> Line:
        return WatchedLine(self)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Watched]:
    client = redis.Redis.from_url(redis_url, protocol=2)
    watched = Watched(client)
    for name in "abc":
        client.hset(name, "is", name)
        client.expire(name, 60)
    yield watched
    client.close()


def ask(connection: Watched, *keys: str) -> list[Any]:
    """What so many greenlets are told that ask at once: an answer, or an error."""

    def one(key: str) -> Any:
        try:
            return connection.hash(key)
        except (StoreUnavailable, JobCorrupt) as error:
            return error

    asking = [gevent.spawn(one, key) for key in keys]
    return [each.get() for each in asking]


def test_those_who_ask_at_once_share_a_trip_and_each_is_told_its_own(connection: Watched) -> None:
    assert ask(connection, "a", "b", "none", "c", "a") == [
        {b"is": b"a"},
        {b"is": b"b"},
        {},
        {b"is": b"c"},
        {b"is": b"a"},
    ]
    assert connection.trips == [5]


def test_who_is_alone_waits_for_nobody(connection: Watched) -> None:
    assert connection.hash("a") == {b"is": b"a"}
    assert connection.hash("b") == {b"is": b"b"}
    assert connection.trips == [1, 1]


def test_who_asks_while_a_trip_is_under_way_is_on_the_next_and_on_the_same_line(connection: Watched) -> None:
    connection.trouble = lambda: gevent.sleep(0.05)
    first = gevent.spawn(connection.hash, "a")
    gevent.sleep(0.01)
    assert [each[b"is"] for each in ask(connection, *"bc")] == [b"b", b"c"]
    assert first.get() == {b"is": b"a"}
    assert (connection.trips, connection.lines) == ([1, 2], 1)


def trips_of_two(connection: Watched) -> list[int]:
    """The trips of a read, and of another whose request has come but has not been seen yet."""
    connection.trips.clear()
    caller, service = socketpair()
    with caller, service:
        caller.sendall(b"GET")

        def heard() -> None:
            wait_read(service.fileno())
            connection.hash("b")

        gevent.joinall([gevent.spawn(connection.hash, "a"), gevent.spawn(heard)])
    return connection.trips


def test_whose_request_has_come_already_gets_on_the_first_trip_while_reads_are_many(
    connection: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "GATHERING_S", 60.0)
    connection.hash("c")
    assert trips_of_two(connection) == [2]


def test_the_first_read_of_all_sets_out_at_once(connection: Watched) -> None:
    assert trips_of_two(connection) == [1, 1]


def test_a_read_after_a_while_without_any_sets_out_at_once(connection: Watched) -> None:
    connection.hash("c")
    connection._used_at -= 2 * trips.GATHERING_S
    assert trips_of_two(connection) == [1, 1]


def test_a_line_that_was_idle_is_looked_at_before_it_is_used(
    connection: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "KEPT_S", 0.0)
    assert connection.hash("a") == {b"is": b"a"}
    connection.client.client_kill_filter(_type="normal", skipme=True)
    assert connection.hash("b") == {b"is": b"b"}
    assert connection.lines == 2


def test_a_trip_takes_so_many_and_the_others_go_on_the_next(
    connection: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "MAX_SHARED", 2)
    assert [each[b"is"] for each in ask(connection, *"abcab")] == [b"a", b"b", b"c", b"a", b"b"]
    assert connection.trips == [2, 2, 1]


def test_a_url_may_ask_for_resp3(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, protocol=3) as client:
        client.hset("a", "is", "a")
        client.expire("a", 60)
        assert SharingConnection(client).hash("a") == {b"is": b"a"}


def test_a_line_that_broke_off_in_the_middle_of_an_answer_is_closed(connection: Watched) -> None:
    connection.trouble = lambda: gevent.sleep(30)
    pool = connection.client.connection_pool
    with pytest.raises(StoreUnavailable):
        connection.hash("a")
    assert [each._sock for each in pool._available_connections][-1] is None


def test_other_commands_travel_alone(connection: Watched) -> None:
    assert connection.command("HGET", "a", "is") == b"a"
    assert connection.trips == []


def test_a_damaged_key_is_an_error_to_whoever_asked_for_it_alone(connection: Watched) -> None:
    connection.client.set("text", "no hash", ex=60)
    first, damaged, last = ask(connection, "a", "text", "b")
    assert (first, last) == ({b"is": b"a"}, {b"is": b"b"})
    assert isinstance(damaged, JobCorrupt)


def test_a_store_that_is_away_is_told_to_everyone_and_the_next_trip_is_a_new_one(connection: Watched) -> None:
    def away() -> None:
        raise StoreUnavailable("away")

    connection.trouble = away
    assert [type(each) for each in ask(connection, "a", "b")] == [StoreUnavailable] * 2
    connection.trouble = lambda: None
    assert ask(connection, "a") == [{b"is": b"a"}]


def test_a_store_that_hangs_keeps_nobody_longer_than_the_bound(connection: Watched) -> None:
    connection.trouble = lambda: gevent.sleep(30)
    with gevent.Timeout(5):
        assert [type(each) for each in ask(connection, "a", "b")] == [StoreUnavailable] * 2


def test_who_gives_up_leaves_the_others_on_their_trip(connection: Watched) -> None:
    connection.trouble = lambda: gevent.sleep(0.1)
    staying = gevent.spawn(connection.hash, "a")
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
        connection.hash("b")
    assert staying.get() == {b"is": b"a"}
    assert connection.trips == [2]


def test_an_error_that_all_on_a_trip_share_is_told_to_each_as_if_it_were_the_only_one(connection: Watched) -> None:
    def bug() -> None:
        raise RuntimeError("a bug")

    def steps() -> int:
        with pytest.raises(RuntimeError) as told:
            connection.hash("a")
        return len(told.traceback)

    connection.trouble = bug
    asking = [gevent.spawn(steps) for _ in range(50)]
    assert len({each.get() for each in asking}) == 1


def test_a_line_that_cannot_even_be_hung_up_leaves_nobody_waiting(
    connection: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("broken")

    monkeypatch.setattr(WatchedLine, "hashes", broken)
    monkeypatch.setattr(WatchedLine, "close", broken)
    asking = [gevent.spawn(connection.hash, key) for key in "ab"]
    gevent.joinall(asking, timeout=30)
    assert [str(each.exception) for each in asking] == ["broken", "broken"]
