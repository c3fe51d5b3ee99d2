"""What is worth meeting in a job's life: every answer of every script, and moments beyond the answers."""

import re
from collections.abc import Iterator

from batchstatus.protocol import verbs
from tests.integration.life.rules import Step

LANDMARKS = {
    "a claim repeated",
    "a takeover",
    "a takeover of counted rows, from a checkpoint",
    "a takeover that drops rows which the checkpoint does not cover",
    "a takeover that drops rows without a checkpoint",
    "a takeover that drops only some of the stored rows",
    "a total that was too low",
    "a taker refused by a second look too early",
    "a taker refused after the window",
    "a lease given back, and taken",
    "a lease given back, not taken under a clock that went back",
    "a duplicate of counted rows",
    "a duplicate after a takeover",
    "a worker past its lease goes on",
    "a sign of life wipes a mark",
    "a sign of life under a clock that went back",
    "an old fence refused on a running job",
    "rows beyond the most that are stored",
    "a thousand rows and more in one report",
    "a finish repeated",
    "a finish repeated with another status",
    "a finish of a job that was settled",
    "a job with a takeover window is settled",
    "a job that was to be cancelled ends as that",
    "a pause is obeyed",
    "a paused job is taken over",
    "a queued job is cancelled at once",
    "a job that awaits a worker is cancelled at once",
    "a job that was to be cancelled ends once its worker is known to be dead",
    "a lease of a job that was to be cancelled is given back",
    "a worker that was thought dead comes back",
    "a reader finds it SUSPECT",
    "a reader finds it VACANT",
    "a reader finds it SETTLED",
}


def landmarks(step: Step) -> Iterator[str]:
    """What is worth meeting in this step; the words of the answers are met anyway."""
    before, after, now = step.before, step.after, step.now
    past_ms = now - before.number("leaseExpiresAt") if before.running else 0
    marked, window_ms = "suspectAt" in before.job, before.number("takeoverMs")
    if step.call == "claim OK" and not step.claimed_anew:
        yield "a claim repeated"
    if step.claimed_anew and before.running:
        yield "a takeover" if "token" in before.job else "a lease given back, and taken"
        if after.number("succeeded") and "checkpoint" in after.job:
            yield "a takeover of counted rows, from a checkpoint"
        if before.visible()[0] | {"batchPaused": None} != after.visible()[0] | {"batchPaused": None}:
            covered = "checkpoint" in after.job
            beyond = "which the checkpoint does not cover" if covered else "without a checkpoint"
            yield f"a takeover that drops rows {beyond}"
        if 0 < len(after.failures) < len(before.failures):
            yield "a takeover that drops only some of the stored rows"
    if step.call == "claim HELD" and marked:
        if 0 <= past_ms < window_ms:
            yield "a taker refused by a second look too early"
        if past_ms >= window_ms > 0:
            yield "a taker refused after the window"
        if past_ms < 0 and before.job["suspectAt"] == "0":
            yield "a lease given back, not taken under a clock that went back"
    if step.call in {"report OK", "report DUPLICATE"}:
        if marked:
            yield "a sign of life wipes a mark"
        if past_ms > 0:
            yield "a worker past its lease goes on"
        if now < before.number("heartbeatAt"):
            yield "a sign of life under a clock that went back"
    if step.call == "report OK" and 0 < before.number("totalItems") < after.number("totalItems"):
        yield "a total that was too low"
    if step.call == "report FENCED" and before.running:
        yield "an old fence refused on a running job"
    if after.number("failed") > len(after.failures) or after.number("skipped") > len(after.skips):
        yield "rows beyond the most that are stored"
    if len(after.failures) - len(before.failures) > 1_000:
        yield "a thousand rows and more in one report"
    if step.call == "finish OK" and before.terminal:
        yield "a finish repeated"
    if step.call == "finish OK" and after.job["status"] == "cancelled" and "batchCancelRequested" in before.job:
        yield "a job that was to be cancelled ends as that"
    if "batchPaused" in after.job and "batchPaused" not in before.job:
        yield "a pause is obeyed"
    if step.claimed_anew and "batchPaused" in before.job:
        yield "a paused job is taken over"
    if step.call == "control OK" and before.job["status"] == "queued" and after.terminal:
        yield "a queued job is cancelled at once"
    if step.call == "control OK" and "batchAwaitingWorker" in before.job and after.terminal:
        yield "a job that awaits a worker is cancelled at once"
    if step.call == "settle SETTLED" and after.job["status"] == "cancelled":
        yield "a job that was to be cancelled ends once its worker is known to be dead"
    if step.call in {"report OK", "report DUPLICATE"} and "batchAwaitingWorker" in before.job:
        yield "a worker that was thought dead comes back"
    if step.call == "finish FENCED" and before.terminal and step.fence == before.number("fence"):
        yield "a finish of a job that was settled"
    if step.call == "settle SETTLED" and window_ms:
        yield "a job with a takeover window is settled"


def every_answer() -> set[str]:
    """Each word that the head of a script says it may answer, with its verb.

    But INVALID, which depends on no life: tests/integration/test_judged_values.py; and SPLIT, which is all that
    they say to a split job: tests/integration/test_parts.py.
    """
    found = set()
    for verb in ("create", "claim", "report", "finish", "settle", "control"):
        source = getattr(verbs, verb.upper()).source
        returns = source.partition("-- RETURNS")[2].partition("-- WRITES")[0]
        found |= {f"{verb} {word}" for word in re.findall(r"\{'([A-Z_]+)'", returns)}
    return {answer for answer in found if not answer.endswith((" INVALID", " SPLIT"))}
