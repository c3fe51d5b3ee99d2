"""The steps that a run takes with its job. `batchstatus.jobs.transitions` takes them in the store."""

from typing import Protocol

from batchstatus.model.messages import Batch, Claim, Ending, Look, Reported
from batchstatus.settings import StoreSettings


class Steps(Protocol):
    """The steps of one job. Each may raise StoreUnavailable, and may then be repeated."""

    @property
    def name(self) -> str:
        """What the job is called in the names of threads."""

    @property
    def settings(self) -> StoreSettings:
        """How the job's store is used."""

    def claim(self, token: str, *, worker: str = "") -> Claim:
        """Take the job, or raise LeaseHeld or JobEnded. The same token again gives the same fence.

        `worker` says who the worker is, for people.
        """

    def report(self, claim: Claim, seq: int, batch: Batch, *, paused: bool) -> Reported:
        """Count a batch and renew the lease. An empty batch: renew only.

        Raises LeaseLost when fenced out, ReportsLost when the store no longer has reports that it acknowledged.
        """

    def finish(self, claim: Claim, ending: Ending, seq: int | None) -> None:
        """End the job, or with `interrupted` give its lease back. LeaseLost when fenced out.

        With `seq`, the number of the last report, ReportsLost unless the store still has that report.
        """

    def settle(self) -> Look:
        """Look whether the job's worker is dead; the second look, a grace after the first, decides."""
