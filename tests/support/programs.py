"""Programs that a test starts, and whose end it waits for."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Program = subprocess.Popen[str]


@contextmanager
def programs() -> Iterator[Callable[[Sequence[str], dict[str, str]], Program]]:
    """Yields what starts a command with variables beside the test's own; all programs are killed at the end."""
    started: list[Program] = []

    def start(command: Sequence[str], variables: dict[str, str]) -> Program:
        environment, pipe = {**os.environ, **variables}, subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finished(program: Program, within_s: float = 60) -> tuple[int, str, str]:
    """Returns exit code, output and errors of a program that ends."""
    out, err = program.communicate(timeout=within_s)
    return program.returncode, out, err
