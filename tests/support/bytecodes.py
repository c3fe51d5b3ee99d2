"""Doing something in the middle of something else: before each single bytecode of it."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import ModuleType
from typing import Any


class Interrupted(BaseException):
    """What the handler of a signal raises, as it were."""


def interrupt() -> None:
    """Be such a handler."""
    raise Interrupted


def at_bytecode(
    step: int, modules: Iterable[ModuleType], action: Callable[[], object], intrusion: Callable[[], object]
) -> bool:
    """Do `action`, and `intrusion` before its `step`th bytecode in these modules; whether it has so many."""
    watched, passed, before = {module.__file__ for module in modules}, 0, sys.gettrace()

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal passed
        if frame.f_code.co_filename not in watched:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed += 1
            if passed == step:
                intrusion()
        return trace

    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return passed >= step


def interrupted_at(step: int, modules: Iterable[ModuleType], action: Callable[[], object]) -> bool:
    """Do `action`, interrupted before its `step`th bytecode in these modules; whether it was."""
    with suppress(Interrupted):
        at_bytecode(step, modules, action, interrupt)
        return False
    return True
