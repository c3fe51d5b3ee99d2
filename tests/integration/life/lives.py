"""What happens to jobs, one after the other: time passes, and stories of several acts."""

from typing import Any

from batchstatus.model.job import Action, Status
from tests.integration.life.acts import COMPLETED, GIVEN_BACK, Acts
from tests.integration.life.words import GRACE_MS, Content, End


class Lives(Acts):
    """The acts, the clock, and what needs several acts in a row."""

    def time_passes(self, until: int | str, beside_ms: int = 0) -> None:
        """Move the clock by so many ms, also backwards, as a failover may; or until `beside_ms` after a moment.

        The moments are the ends of the lease, of the grace after the first look, and of the takeover window.
        """
        life = self._life
        if isinstance(until, int):
            self._server.now_ms += until
        elif life and life.lease_end is not None:
            grace_end = (life.suspect_at or self._now) + GRACE_MS
            window_end = life.lease_end + life.content.takeover_ms
            moment = {"lease": life.lease_end, "grace": grace_end, "window": window_end}[until]
            self._server.now_ms = max(self._now, moment + beside_ms)

    def begin(self, content: Content | None = None, **job: Any) -> None:
        """Have a job, made and claimed."""
        self.next_job(**job)
        self.create(content)
        self.claim(placed=False)

    def work(self, content: dict[str, Any]) -> None:
        """The holder reports, and the report arrives."""
        self.report(content=content)

    def work_on_thousands(self, failed: int = 1_001, skipped: int = 0) -> None:
        """Report a thousand rows and more, once or twice a job and where there is room."""
        life = self._life
        if life and life.status is Status.RUNNING and life.total is None and len(life.failures) <= 1_000:
            self.report(content={"succeeded": 1, "failed": failed, "skipped": skipped})

    def control_and_heed(self, action: Action, end: End = COMPLETED) -> None:
        """Ask for an action; the holder hears of it, obeys a pause, and finishes after a cancel."""
        self.control(action, placed=False)
        self.heartbeat(paused=action is Action.PAUSE)
        if action is Action.CANCEL:
            self.finish(end=end)

    def fall_silent(
        self,
        moment: str = "grace",
        beside_ms: int = 0,
        taker: int | None = None,
        comes_back: str = "never",
        pausing: bool = False,
    ) -> None:
        """The holder does; somebody looks after its lease; a taker or a reader comes; then it comes back."""
        silent = self._workers.index(self._worker("holder"))
        if pausing:
            self.control(Action.PAUSE)
            self.heartbeat(paused=True)
        self.time_passes("lease")
        self.settle()
        self.time_passes(moment, beside_ms)
        if taker is None:
            self.settle(placed=False)
            self.read()
        else:
            self.claim(taker)
        if comes_back == "to report":
            self.report(silent)
        elif comes_back == "to finish":
            self.finish(silent)

    def give_back(self, ms: int = 0, taker: int = 1) -> None:
        """The holder gives its lease back; a moment later another worker takes the job, if it may."""
        self.finish(end=GIVEN_BACK)
        self.time_passes(ms)
        self.claim(taker)
