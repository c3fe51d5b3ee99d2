"""How answers are sent: what never goes out, whatever an application says."""

import socket
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from batchstatus.web.worker import WorkerResponse


@pytest.mark.parametrize("broken", ["no-cache\r\nSet-Cookie: a=b", "no-cache\nSet-Cookie: a=b", "a\rb", "a\0b"])
def test_a_header_with_a_line_break_or_the_like_is_refused_before_anything_is_sent(broken: str) -> None:
    request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
    here, there = socket.socketpair()
    with here, there:
        response = WorkerResponse(request, here, Config())
        response.start_response("200 OK", [("Content-Length", "4"), ("Cache-Control", broken)])
        with pytest.raises(ValueError, match="line break"):
            response.write(b"body")
        assert not response.headers_sent
        here.close()
        assert there.recv(100) == b""
