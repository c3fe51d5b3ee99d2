"""A job, a worker of the command that is tried, and what the store must have of the job."""

import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from batchstatus.connecting import connect
from batchstatus.model.errors import JobExists
from batchstatus.model.ids import new_job_id
from batchstatus.model.job import Action, Job, Kind, Status
from batchstatus.store import JobStore

ORG, KIND = "org_conformance", Kind.TRANSACTION_BATCH
LEASE_S, GRACE_S, RETENTION_S, TAKEOVER_S = 2.0, 0.5, 86_400.0, 3_600.0
TIMEOUT_S = 30.0
"""How long the store may take to answer the scene, which only looks on: a busy machine is no worker's fault."""
EVERY = 10
"""After how many rows the worker gives a checkpoint."""

METADATA = {
    "fileName": 'Ñandú 😀 "\x7f".csv',
    "nested": {"b": [1, True, None], "a": "/\\\n"},
    "\ue000": 1,
    "😀": 2,
}
"""Of jobs that the worker creates: what languages write in different ways, but for numbers that are not whole."""

LINES = ["failed" if number % 7 == 0 else "ok" for number in range(1, 61)]
STOPS_S = 10.0
"""How long a process may go on after its job is over."""


class Broken(Exception):
    """The worker has broken a rule; the text says how."""


def until(condition: Callable[[], object], what: str, within_s: float = 20.0) -> None:
    """Wait until `condition` is true; Broken says that `what` did not come about."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise Broken(f"within {within_s:g} s {what} did not come about")
        time.sleep(0.02)


class Scene:
    """One job in a store of its own, and the processes that work on it; all of them end with the scene."""

    def __init__(self, url: str, command: Sequence[str], folder: Path) -> None:
        self.url, self._command, self._folder = url, command, folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._created: dict[str, Any] | None = None
        self._prefix = f"conformance:{secrets.token_hex(4)}"
        self.lines = LINES
        timing: dict[str, Any] = {
            "lease_s": LEASE_S,
            "grace_s": GRACE_S,
            "retention_s": RETENTION_S,
            "timeout_s": TIMEOUT_S,
        }
        self.store: JobStore = connect(url, prefix=self._prefix, **timing)
        self.job_id = self.store.create(ORG, KIND, takeover_s=TAKEOVER_S).job_id
        self.keys = self.store.connection.keys.job(ORG, self.job_id)

    def close(self) -> None:
        """End all processes."""
        for each in self._processes:
            each.kill()
            each.wait()
        self.store.close()

    def leave_to_worker(self) -> None:
        """Make no job: the worker is asked to create its own."""
        self.job_id = new_job_id()
        self.keys = self.store.connection.keys.job(ORG, self.job_id)
        content = {"totalItems": len(self.lines), "metadata": METADATA, "takeoverMs": round(TAKEOVER_S * 1000)}
        self._created = {"kind": KIND, **content}

    def create(self) -> Job:
        """Create the job that is left to the worker as Python does, or find the worker's. Raises JobExists."""
        return self.store.create(
            *(ORG, KIND), job_id=self.job_id, total_items=len(self.lines), metadata=METADATA, takeover_s=TAKEOVER_S
        )

    def block_leases(self) -> None:
        """Keep the worker from its claim: it cannot track its lease."""
        self.store.connection.command(
            "SET", self.store.connection.keys.lease_entry(ORG, self.job_id).key, "blocked"
        )

    def start(self, row_ms: int = 40, url: str | None = None, kind: Kind = KIND) -> "subprocess.Popen[bytes]":
        """Start a worker on the job, whose rows take `row_ms` each; `url` is its way to the store.

        `kind` is that of a job which is left to the worker.
        """
        file = self._folder / f"{self.job_id}.txt"
        file.write_text("\n".join(self.lines) + "\n")
        told: dict[str, object] = {
            "STORE": url or self.url,
            "PREFIX": self._prefix,
            "ORG": ORG,
            "JOB": self.job_id,
            "LEASE_MS": round(LEASE_S * 1000),
            "GRACE_MS": round(GRACE_S * 1000),
            "RETENTION_MS": round(RETENTION_S * 1000),
            "FILE": file,
            "ROW_MS": row_ms,
            "EVERY": EVERY,
            "LUA": files("batchstatus.protocol") / "lua",
        }
        if self._created:
            told["CREATE"] = json.dumps(self._created | {"kind": kind})
        environment = dict(os.environ) | {f"WORKER_{name}": str(value) for name, value in told.items()}
        log = (self._folder / f"{self.job_id}.log").open("ab")
        with log:
            process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def job(self) -> Job:
        """Returns the job as a reader sees it."""
        return self.store.get(ORG, self.job_id)

    def stored(self) -> dict[str, str]:
        """Returns the job's hash."""
        found = self.store.connection.hash(self.keys.job)
        return {name.decode(): value.decode() for name, value in found.items()}

    def until_done(self, rows: int) -> None:
        """Wait until so many rows are counted."""
        until(lambda: self.job().done >= rows or self.job().terminal, f"a count of {rows} rows")

    def control(self, action: Action) -> None:
        """Ask for a pause, a resume or a cancel."""
        self.store.control(ORG, self.job_id, action)

    def set_memory(self, most: str) -> None:
        """Set how much memory the store may take (bytes); "0": any."""
        self.store.connection.command("CONFIG", "SET", "maxmemory", most)

    def lease_is_alive(self) -> bool:
        """Returns True if the worker's lease has not run out."""
        return int(self.stored().get("leaseExpiresAt", 0)) > self.store.connection.clock_ms(self.keys.job)

    def work_in_python(self) -> None:
        """Take the job over, and do the rest of it."""
        with self.store.run(ORG, self.job_id, wait_s=30) as run:
            start = run.checkpoint or 0
            if not isinstance(start, int) or not 0 <= start <= len(self.lines):
                raise Broken(f"its checkpoint {start!r} is no number of rows that are done")
            run.total(len(self.lines))
            for number, line in enumerate(self.lines[start:], start + 1):
                if line == "ok":
                    run.succeeded(checkpoint=number)
                else:
                    run.failed(row(number), checkpoint=number)

    def ends(self, status: Status, worker: "subprocess.Popen[bytes] | None" = None) -> None:
        """Wait for the end of the job and of the worker's process, and check all that is stored."""
        gone = worker.poll if worker is not None else lambda: None
        until(lambda: gone() is not None or self.job().terminal, f"the end of the job as {status}", 30)
        if not self.job().terminal:
            raise Broken(f"the worker's process is over, and the job is {self.job().status}")
        if worker is not None:
            until(lambda: worker.poll() is not None, "the end of the worker's process", STOPS_S)
        found = self.job()
        if found.status is not status:
            raise Broken(f"the job ended as {found.status}, and not as {status}: {self.said()}")
        self.check(len(self.lines) if status is Status.COMPLETED else found.done)

    def check(self, done: int) -> None:
        """Check that the store has exactly the first `done` rows of the file, and the job in the index once."""
        stored, expected = self.stored(), [n for n, line in enumerate(self.lines[:done], 1) if line != "ok"]
        counted = [int(stored[name]) for name in ("succeeded", "failed", "skipped")]
        must = [done - len(expected), len(expected), 0]
        if counted != must:
            raise Broken(f"succeeded, failed, skipped are {counted}, and must be {must}")
        if stored.get("totalItems") != str(len(self.lines)):
            raise Broken(f"totalItems is {stored.get('totalItems')}, and must be {len(self.lines)}")
        lists = [self.store.connection.command("LRANGE", key, 0, -1) for key in self.keys[1:]]
        rows = [_named(each) for each in lists[0]]
        if rows != [row(number) for number in expected] or lists[1]:
            raise Broken(f"the failed rows are not those of the file, each once and in order: {rows!r:.200}")
        self._check_places(stored)

    def is_as_created(self) -> None:
        """Check that the job is queued, in both indexes, and the same that Python creates."""
        stored, entry = self.stored(), self.store.connection.keys.expiry_entry(ORG, self.job_id)
        self._check_index(stored)
        self._check_times_to_live()
        if self.store.connection.command("ZSCORE", *entry) is None:
            raise Broken(f"the job was not tracked: {entry.key} has no {entry.member}")
        try:
            job = self.create()
        except JobExists:
            raise Broken(
                f"Python does not take it for the same job: its digest is {stored.get('digest')}"
            ) from None
        if (job.status, job.total_items, job.metadata) != (Status.QUEUED, len(self.lines), METADATA):
            raise Broken(f"the job is not as it was to be: {stored}")

    def said(self) -> str:
        """Returns the last line that the worker printed."""
        log = self._folder / f"{self.job_id}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1][:200] if lines else f"{shlex.join(self._command)} printed nothing"

    def _check_places(self, stored: dict[str, str]) -> None:
        self._check_index(stored)
        lease = self.store.connection.keys.lease_entry(ORG, self.job_id)
        if self.store.connection.command("ZSCORE", *lease) is None:
            raise Broken(f"the lease was not tracked: {lease.key} has no {lease.member}")
        self._check_times_to_live()

    def _check_index(self, stored: dict[str, str]) -> None:
        command = self.store.connection.command
        found = {name: command("ZSCORE", key, self.job_id) for name, key in self._index().items()}
        listed = {name: float(score) for name, score in found.items() if score is not None}
        if listed != {f"{stored['kind']}:{stored['status']}": float(stored["createdAt"])}:
            raise Broken(f"a job that is {stored['status']} is in the org's index as {sorted(listed)}")

    def _check_times_to_live(self) -> None:
        for key in self.keys:
            left_ms = self.store.connection.command("PTTL", key)
            if left_ms != -2 and not 0 < left_ms <= RETENTION_S * 1000:
                raise Broken(f"the time to live of {key} is {left_ms} ms")

    def _index(self) -> dict[str, str]:
        kinds = self.store.settings.kinds.names
        keys = self.store.connection.keys
        return {f"{kind}:{status}": keys.index(ORG, kind, status) for kind in kinds for status in Status}


def row(number: int) -> dict[str, Any]:
    """Returns the failed row that a line of the file is."""
    return {"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": f"line {number}"}


def _named(stored: bytes) -> Any:
    try:
        return json.loads(stored)
    except ValueError:
        return stored
