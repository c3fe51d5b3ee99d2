"""Waiting for what must come true, instead of sleeping for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout_s: float = 15.0, what: str = "") -> T:
    """The first true answer of `condition`; the test fails if there is none within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"this did not come true in {timeout_s} s: {what or condition}"
        time.sleep(0.01)
