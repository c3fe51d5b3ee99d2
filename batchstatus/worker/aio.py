"""A run in asyncio: `async with store.arun(org, job_id) as run`.

What may wait does so in a thread of its own: entering, leaving, and a check while a pause is wanted. Not in the
loop's default executor, whose few threads many paused runs would take from everybody. The run reports in its own
thread, as ever, so that a loop that is blocked keeps its lease.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from batchstatus.model.job import Job, Row
from batchstatus.model.messages import Wanted
from batchstatus.worker.run import Run

_T = TypeVar("_T")
SOON_S = 2.0
"""How long leaving goes on waiting after the task was cancelled once more (seconds)."""


class AsyncRun:
    """A task's run of a job: `store.arun(org, job_id)`, entered with `async with`. A Run, but `await run.check()`.

    A task that is cancelled gives the lease back, also while it enters; the CancelledError goes on. Counting is
    not awaited; it blocks the loop only while `max_waiting_rows` failed and skipped rows wait.

        async with store.arun("org_acme", job.job_id) as run:
            async for number, row in rows_from(run.checkpoint or 0):
                await run.check()
                run.succeeded(checkpoint=number)
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.total, self.succeeded = run.total, run.succeeded
        self.wanted = run.wanted
        self._entered = False
        self._leavers = {0: True}  # a dict's pop is atomic

    @property
    def job(self) -> Job:
        """The job as it was when this run claimed it."""
        return self._run.job

    @property
    def checkpoint(self) -> Any:
        """Where to go on: the last checkpoint that was delivered; None on a job that nobody ran before."""
        return self._run.checkpoint

    @property
    def attempt(self) -> int:
        """How often the job has been claimed, this run included: 1 for the first."""
        return self._run.attempt

    def failed(self, row: Row, *, checkpoint: Any = None) -> None:
        """Count a row that failed."""
        self._run.failed(row, checkpoint=checkpoint)

    def skipped(self, row: Row, *, checkpoint: Any = None) -> None:
        """Count a row that was skipped; no failure."""
        self._run.skipped(row, checkpoint=checkpoint)

    async def check(self) -> None:
        """Obey control as `Run.check` does, and give other tasks their turn. A pause holds up this task alone."""
        await asyncio.sleep(0)
        if self._run.wanted() is Wanted.PAUSE:
            await _in_thread(self._run.check)
        else:
            self._run.check()

    async def __aenter__(self) -> Self:
        entering = _in_thread(self._enter)
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError as cancelled:
            self._run._gives_up = True
            try:
                await asyncio.wait({entering})
            finally:  # cancelled once more, the task waits no longer, and the thread leaves by itself
                if self._is_to_leave():
                    await self.__aexit__(type(cancelled), cancelled, None)
            raise
        return self

    def _enter(self) -> None:
        """Enter, in a thread; leave at once if the task was cancelled meanwhile."""
        self._run.__enter__()
        self._entered = True
        if self._run._gives_up and self._is_to_leave():
            cancelled = asyncio.CancelledError()
            self._run.__exit__(type(cancelled), cancelled, None)

    def _is_to_leave(self) -> bool:
        """Returns True to one of two who ask, the task and its thread, once the run is entered."""
        return self._entered and self._leavers.pop(0, False)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        leaving = _in_thread(lambda: self._run.__exit__(kind, error, trace))
        try:
            return await asyncio.shield(leaving)
        except asyncio.CancelledError:
            await asyncio.wait({leaving}, timeout=SOON_S)
            raise


def _in_thread(call: Callable[[], _T]) -> "asyncio.Future[_T]":
    """Returns the future of a call that is made in a thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # one that nobody awaits any more

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result(result) if error is None else future.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # it is the awaiting task's
            error = raised
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()
    return future
