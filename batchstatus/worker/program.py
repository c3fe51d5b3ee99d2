"""Any program as a worker: JSON lines on its standard output count rows, its exit ends the job.

The program needs no library, port or key. `batchstatus run` starts it within a run:

    with store.run("org_acme", job_id) as run:
        Program(run, store.settings.kinds[run.job.kind], ["node", "import.js"]).work()
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, cast

from batchstatus.model import rows, values
from batchstatus.model.errors import BatchStatusError, InvalidValue, JobCancelled
from batchstatus.model.kinds import JobKind
from batchstatus.model.messages import Wanted
from batchstatus.worker.run import Run

MEMBERS = ("succeeded", "failures", "skips", "totalItems", "checkpoint", "paused")
"""What a message may have."""
MAX_LINE_BYTES = 1024 * 1024
_LOOK_S, _REST_S, _KILL_S = 0.1, 1.0, 5.0


class ProgramFailed(Exception):
    """The program ended with an exit code other than 0, or wrote a message that cannot be."""


class Program:
    """A program that works on the job of a run that was entered.

    - `command`: the program and its arguments.
    - `part`: the part of a split job that the run is of, for the program to know.
    - `cancel_s`: how long the program may go on after it was told of a cancel, before SIGTERM (seconds).
    """

    def __init__(
        self, run: Run, kind: JobKind, command: Sequence[str], cancel_s: float = 10.0, part: int | None = None
    ) -> None:
        self._run, self._kind, self._command, self._cancel_s = run, kind, command, cancel_s
        self._part, self._told = part, run.wanted()
        self._cancelled_at: float | None = None
        self._said = ""
        self._error: Exception | None = None
        self._waits_since: float | None = None

    def work(self) -> None:
        """Start the program and wait for its end.

        Returns after exit code 0. Raises ProgramFailed after another one, JobCancelled after a cancel, and
        SystemExit after a signal that killed the program: the run then gives the lease back.
        """
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment(), process_group=0
        )
        reading = [
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._pass_on_errors, args=(self._process.stderr,), daemon=True),
        ]
        try:
            self._tell(jobId=self._run.job.job_id, metadata=dict(self._run.job.metadata), **self._start())
            for thread in reading:
                thread.start()
            while self._process.poll() is None and self._error is None:
                self._look()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LOOK_S)
            while reading[0].is_alive() and self._error is None and not self._rests():
                reading[0].join(_LOOK_S)
        finally:
            self._stop()
            self._close(reading)
        self._end(self._process.returncode)

    def _close(self, reading: list[threading.Thread]) -> None:
        """Close the pipes, but for one that a program's child keeps open: closing waits for whoever reads."""
        if reading[1].ident is not None:  # else SIGTERM came before it was started
            reading[1].join(_REST_S)
        pipes = (self._process.stdout, self._process.stderr)
        for pipe in [pipe for pipe, thread in zip(pipes, reading, strict=True) if not thread.is_alive()]:
            pipe.close()  # type: ignore[union-attr]
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def _end(self, code: int) -> None:
        if self._error is not None:
            raise self._error
        if self._cancelled_at is not None:
            raise JobCancelled("the job is to be cancelled")
        if code < 0:
            print(f"batchstatus: the program was killed by signal {-code}", file=sys.stderr)  # noqa: T201
            raise SystemExit(128 - code)
        if code > 0:
            raise ProgramFailed(f"exit code {code}{self._said and ': '}{self._said}")

    def _start(self) -> dict[str, Any]:
        """Returns where and how the program is to start."""
        return {"checkpoint": self._run.checkpoint, "attempt": self._run.attempt, "control": self._told}

    def _environment(self) -> dict[str, str]:
        """Returns the program's environment: for a shell script, which would rather not read JSON."""
        given = {"BATCHSTATUS_JOB_ID": self._run.job.job_id}
        if self._run.checkpoint is not None:
            given["BATCHSTATUS_CHECKPOINT"] = json.dumps(self._run.checkpoint)
        if self._part is not None:
            given["BATCHSTATUS_PART"] = str(self._part)
        ours = ("BATCHSTATUS_CHECKPOINT", "BATCHSTATUS_PART")
        return {**{name: text for name, text in os.environ.items() if name not in ours}, **given}

    def _tell(self, **message: Any) -> None:
        """Write a line to the program, which need not read it."""
        with suppress(OSError):
            pipe = cast("IO[bytes]", self._process.stdin)
            pipe.write(json.dumps(message).encode() + b"\n")
            pipe.flush()

    def _look(self) -> None:
        """Tell the program what control wants of it, and end one that goes on after a cancel."""
        wanted = self._run.wanted()
        if wanted is Wanted.CANCEL and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
        if wanted is not self._told:
            self._told = wanted
            self._tell(control=wanted)
        if self._cancelled_at is not None and time.monotonic() - self._cancelled_at >= self._cancel_s:
            self._stop()

    def _rests(self) -> bool:
        """Returns True if the output of a program that has ended is read, but kept open by one that it started."""
        return self._waits_since is not None and time.monotonic() - self._waits_since > _REST_S

    def _stop(self) -> None:
        """End the program, and all that it has started."""
        for number, patience_s in ((signal.SIGTERM, _KILL_S), (signal.SIGKILL, None)):
            if self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience_s)

    def _read(self, lines: IO[bytes]) -> None:
        """Obey each line of the program's output."""
        number = 0
        try:
            while line := self._next(lines):
                number += 1
                if line.startswith(b"{"):
                    self._obey(line)
                else:
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
        except InvalidValue as error:
            self._error = ProgramFailed(f"line {number} of its output: {error}")
        except Exception as error:  # nobody else sees an error in a thread
            self._error = error

    def _next(self, lines: IO[bytes]) -> bytes:
        self._waits_since = time.monotonic()
        line = lines.readline(MAX_LINE_BYTES + 1)
        self._waits_since = None
        return line

    def _obey(self, line: bytes) -> None:
        """Count what a message says, all of it or nothing; InvalidValue names what is wrong."""
        message = _message(line)
        failures, skips = (_list(message, name) for name in ("failures", "skips"))
        # A bad code ends no import: the run replaces it. All else that is wrong is found before anything counts.
        for row in failures:
            rows.failure(self._kind, rows.without_code(row))
        for row in skips:
            rows.skip(self._kind, {name: row[name] for name in row if name != "code"})
        n = values.count("succeeded", message.get("succeeded", 0))
        checkpoint = message.get("checkpoint")
        values.checkpoint(checkpoint)
        if message.get("totalItems") is not None:
            self._run.total(message["totalItems"])
        for row in failures:
            self._run.failed(row)
        for row in skips:
            self._run.skipped(row)
        if n or checkpoint is not None:
            self._run.succeeded(n, checkpoint=checkpoint)  # the checkpoint comes last, and covers all of it
        if message.get("paused") and self._told is Wanted.PAUSE:
            threading.Thread(target=self._rest, daemon=True).start()

    def _rest(self) -> None:
        """Wait for the end of a pause, for a program that waits."""
        with suppress(BatchStatusError):
            self._run.check()

    def _pass_on_errors(self, lines: IO[bytes]) -> None:
        """Copy what the program says on standard error, and keep the last line."""
        while line := lines.readline(MAX_LINE_BYTES):
            self._said = values.text(line.decode(errors="replace").strip()) or self._said
            with suppress(OSError):
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()


def _message(line: bytes) -> dict[str, Any]:
    """Returns a message; InvalidValue for a line that begins as one and is none."""
    if len(line) > MAX_LINE_BYTES:
        raise InvalidValue(f"it is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        message: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"it is no JSON ({error}): {line[:80]!r}") from None
    if unknown := message.keys() - set(MEMBERS):
        raise InvalidValue(f"unknown member {min(unknown)!r:.80}; known are {', '.join(MEMBERS)}; log to stderr")
    return message


def _list(message: dict[str, Any], name: str) -> list[Any]:
    given = message.get(name, [])
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise InvalidValue(f"{name} is not a list of objects")
    return given
