"""Thousands of broken requests over sockets: the service answers each with its own error body, and stays healthy.

To run longer: `python -m tests.contract.test_fuzz_bytes --seconds 60`, or FUZZ_SECONDS=60 for pytest.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batchstatus import JobStore
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import StoreSettings
from tests.conftest import ORG
from tests.support.fuzzing import answers, complaint, corpus, exchange_to_the_end, mutant
from tests.support.rawhttp import request
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService

CALLERS = 8
ANSWER_S = 20.0
GROWTH_MIB = 16.0
"""Upper limit for the growth of a process: Python and the caches grow once, and then no more."""


@dataclass
class Findings:
    """The result of a fuzzer run."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    growth_mib: float = 0.0

    def __str__(self) -> str:
        seen = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items()))
        return f"{self.requests:,} requests; {seen}; processes grew by {self.growth_mib:.1f} MiB at most"


def about_several(job_id: str, key: str) -> list[bytes]:
    """Returns valid requests for several jobs, and conditional ones for a single job."""
    jobs, cursor = "/batch-import/jobs", "OTk5OTk5OTk5OTk5OTk5OS1h"
    times = "createdAfter=2026-01-01T00:00:00Z&createdBefore=2999-12-31T23:59:59.999%2B05:30"
    tag = 'If-None-Match: W/"x", "job-19ab04f2c3e-3-completed"'
    return [
        request("GET", f"{jobs}?limit=2&cursor={cursor}", key=key),
        request("GET", f"{jobs}?kind=transaction_batch,entity_automatic&status=completed,queued&{times}", key=key),
        request("HEAD", f"{jobs}?ids={job_id},x", tag, key=key),
        request("GET", f"{jobs}?ids={job_id},{job_id},unknown,a%2Fb,%C3%A9", key=key),
        request("GET", f"{jobs}/{job_id}", tag, "Prefer: respond-async, wait=1", key=key),
    ]


def fuzz(live: LiveService, good: list[bytes], seconds: float, start: int) -> Findings:
    """Send mutants for `seconds` over several connections at once. The same `start` gives the same mutants."""
    findings, until = Findings(), time.monotonic() + seconds

    def call(number: int) -> None:
        chance = random.Random(start * 1_000 + number)
        while time.monotonic() < until:
            data = mutant(good, chance)
            try:
                found = list(answers(exchange_to_the_end(live.port, data, ANSWER_S)))
            except (OSError, ValueError) as error:
                findings.complaints.append(f"{error!r} after {data[:2_000]!r}")
                continue
            findings.requests += 1
            for answer in found:
                findings.statuses[answer.status] += 1
                if wrong := complaint(answer):
                    findings.complaints.append(f"{wrong}: {answer} after {data[:2_000]!r}")

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return findings


def mib_of(pid: int) -> float:
    """Returns the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fuzz_and_watch(live: LiveService, store: JobStore, seconds: float, start: int) -> Findings:
    """Warm up the service, fuzz it, and check that job, processes and readiness are unchanged."""
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    job = store.create(ORG, "transaction_batch", total_items=9)
    with store.run(ORG, job.job_id) as run:
        run.failed({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no amount"})
        run.succeeded(3)
    before, good = store.get(ORG, job.job_id), corpus(job.job_id, key) + about_several(job.job_id, key)
    fuzz(live, good, max(2.0, seconds / 5), start + 1)
    pids = live.process_ids()
    sizes = {pid: mib_of(pid) for pid in pids}
    findings = fuzz(live, good, seconds, start)
    assert live.process_ids() == pids, "a process of the service has ended"
    findings.growth_mib = max(mib_of(pid) - sizes[pid] for pid in pids)
    assert store.get(ORG, job.job_id) == before
    assert live.answers("/readyz")
    return findings


@pytest.mark.slow
def test_broken_requests_get_our_error_body_and_do_no_damage(live: LiveService, real_store: JobStore) -> None:
    seconds, start = float(os.environ.get("FUZZ_SECONDS", "10")), int(os.environ.get("FUZZ_SEED", time.time()))
    findings = fuzz_and_watch(live, real_store, seconds, start)
    assert findings.complaints == [], f"FUZZ_SEED={start}"
    assert findings.growth_mib < GROWTH_MIB, findings
    # Some requests passed the parser, others did not.
    assert {200, 400, 401, 404, 405} <= findings.statuses.keys(), findings


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    given = arguments.parse_args()
    with EmbeddedServer() as server, LiveService(server.url) as live:
        store = JobStore.open(server.url, StoreSettings(**UNHURRIED))
        findings = fuzz_and_watch(live, store, given.seconds, given.seed)
        store.close()
    lines = [f"seed {given.seed}: {findings}; {len(findings.complaints)} complaints", *findings.complaints[:20]]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
