"""The delay of webhooks: from the acknowledgement of a job's end to the arrival of its notice.

One replica with two processes, and one endpoint that answers at once. First the jobs end one after another, ten a
second. Then many end as fast as one thread can have them end: then late is also the time that the others took.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection as Pipe

from batchstatus.model.job import Status
from batchstatus.model.messages import Claim, Ending
from batchstatus.webhooks.endpoints import Endpoints
from batchstatus.webhooks.secrets import Secrets
from bench.questions.waiting import process
from bench.report.figures import Answer, Cell, Table, percentile
from bench.tools.receiver import receive
from bench.tools.setting import KIND, ORG, Setting

KEY = "a key that only the bench has and nobody else"
APART_S = 0.1
LATEST_S = 120.0
"""How long to wait for the last notice."""

COLUMNS = {
    "ends": "",
    "jobs": ",d",
    "late p50 ms": ",.0f",
    "late p99 ms": ",.0f",
    "told a second": ",.0f",
    "lost": ",d",
}


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
    alone, crowd = setting.scaled((200, 2_000), (20, 200))
    environment = {"BATCHSTATUS_WEBHOOKS_KEY": KEY, "BATCHSTATUS_WEBHOOKS_ALLOW": "http,private"}
    with process(receive) as receiver, setting.serve(**environment):
        port = receiver.recv()
        Endpoints(setting.store.connection).add(ORG, f"http://127.0.0.1:{port}/", Secrets([KEY]))
        rows = [
            _row("one after another", setting, receiver, alone, APART_S),
            _row("all at once", setting, receiver, crowd, 0.0),
        ]
        receiver.send("end")
    yield Table("Notices of the ends of jobs", COLUMNS, rows)


def _row(name: str, setting: Setting, receiver: Pipe, many: int, apart_s: float) -> list[Cell]:
    """Have so many jobs end; returns the row of figures."""
    claims = {
        job_id: setting.store.steps(ORG, job_id).claim(secrets.token_hex(8)) for job_id in _jobs(setting, many)
    }
    ends = _ended(setting, claims, apart_s)
    told = _told(receiver, ends)
    late_s = [told[job_id] - at for job_id, at in ends.items() if job_id in told]
    last = max(told[job_id] for job_id in ends if job_id in told)
    per_s = len(late_s) / (last - min(ends.values()))
    return [name, many, *(percentile(late_s, each) * 1000 for each in (50, 99)), per_s, many - len(late_s)]


def _jobs(setting: Setting, many: int) -> Iterator[str]:
    return (setting.store.create(ORG, KIND).job_id for _ in range(many))


def _ended(setting: Setting, claims: Mapping[str, Claim], apart_s: float) -> dict[str, float]:
    """Have the jobs end; returns when each end was acknowledged."""
    ends: dict[str, float] = {}
    for job_id, claim in claims.items():
        setting.store.steps(ORG, job_id).finish(claim, Ending(Status.COMPLETED), None)
        ends[job_id] = time.monotonic()
        time.sleep(apart_s)
    return ends


def _told(receiver: Pipe, ends: Mapping[str, float]) -> dict[str, float]:
    """Returns when the receiver was told of which job, once it was told of all of these, or it is too late."""
    give_up_at = time.monotonic() + LATEST_S
    while True:
        receiver.send(None)
        told: dict[str, float] = receiver.recv()
        if ends.keys() <= told.keys() or time.monotonic() > give_up_at:
            return told
        time.sleep(0.1)
