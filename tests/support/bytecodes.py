"""Running code between two chosen bytecodes of other code."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import ModuleType
from typing import Any


class Interrupted(BaseException):
    """Stands for an exception that a signal handler raises."""


def interrupt() -> None:
    """Raise Interrupted, as a signal handler would."""
    raise Interrupted


def at_bytecode(
    step: int, modules: Iterable[ModuleType], action: Callable[[], object], intrusion: Callable[[], object]
) -> bool:
    """Run `action`, and `intrusion` before its `step`th bytecode in `modules`. True if it has that many."""
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
    """Run `action`, interrupted before its `step`th bytecode in `modules`. Returns True if it was interrupted."""
    with suppress(Interrupted):
        at_bytecode(step, modules, action, interrupt)
        return False
    return True
