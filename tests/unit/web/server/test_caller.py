"""How a caller's connection is read: piece by piece, with a turn for others in between."""

import gevent
import pytest
from gevent.socket import socketpair
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import LimitRequestHeaders, ParseException
from gunicorn.http.unreader import IterUnreader

from batchstatus.web.server import caller
from batchstatus.web.server.caller import MAX_HEAD_BYTES, PIECE_BYTES, CallerSocket, discard


def test_others_have_a_turn_between_the_pieces_of_a_request_and_not_before_it() -> None:
    accepted, there = socketpair()
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    with CallerSocket.adopt(accepted) as here, there:
        there.sendall(b"x" * (3 * PIECE_BYTES))
        counting = gevent.spawn(other)
        assert here.recv(8_192) == b"x" * PIECE_BYTES
        assert turns == 0
        assert here.recv(8_192) == b"x" * PIECE_BYTES
        assert turns > 0
        before = turns
        here.expect_head()
        assert here.recv(100) == b"x" * 100
        assert turns == before
        counting.kill()


def test_a_head_without_an_end_is_refused_and_a_body_may_be_longer() -> None:
    accepted, there = socketpair()
    with CallerSocket.adopt(accepted) as here, there:
        there.sendall(b"x" * 200_000)

        def read(pieces: int) -> None:
            for _ in range(pieces):
                assert here.recv(8_192)

        with pytest.raises(LimitRequestHeaders):
            read(2 + MAX_HEAD_BYTES // PIECE_BYTES)
        here.expect_head()
        here.expect_body()
        read(2 + MAX_HEAD_BYTES // PIECE_BYTES)


def body(sent: list[bytes], length: int | None = None) -> Body:
    unreader = IterUnreader(sent)
    return Body(ChunkedReader(None, unreader) if length is None else LengthReader(unreader, length))


@pytest.mark.parametrize(
    ("left", "all_of_it"),
    [
        (body([], 0), True),
        (body([b"abc"], 3), True),
        (body([b"3\r\nabc\r\n0\r\n\r\n"]), True),
        (body([b"x" * 1_000] * 2_000, 2_000_000), False),
        (body([b"1\r\nx\r\n"] * 2_000_000), False),
    ],
    ids=["none", "a length", "chunks", "a long one", "endless chunks"],
)
def test_what_is_left_of_a_body_is_thrown_away_if_it_is_not_too_much(left: Body, all_of_it: bool) -> None:
    assert discard(left, 10) is all_of_it


def test_a_body_that_does_not_come_is_not_waited_for_long() -> None:
    accepted, there = socketpair()
    with CallerSocket.adopt(accepted) as here, there:

        class Unreader(IterUnreader):
            def chunk(self, size_hint: int | None = None) -> bytes:
                return here.recv(100)

        assert discard(Body(LengthReader(Unreader([]), 5)), 0.05) is False


def test_after_a_body_that_could_not_be_read_the_connection_is_not_used_again() -> None:
    broken = body([b"zz\r\n"])
    with pytest.raises(ParseException):
        broken.read(10)
    assert discard(broken, 10) is False
    assert caller.MAX_DISCARDED_BYTES > 64 * 1024  # a body that a view may want is never too much
