"""A worker for the conformance run with the Python SDK."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import batchstatus


def main() -> None:
    told = {name.removeprefix("WORKER_"): value for name, value in os.environ.items() if "WORKER_" in name}
    durations = {
        f"{name.lower()[:-2]}s": int(told[name]) / 1000 for name in ("LEASE_MS", "GRACE_MS", "RETENTION_MS")
    }
    options: dict[str, Any] = {"prefix": told["PREFIX"], **durations}
    store = batchstatus.connect(told["STORE"], **options)
    lines = Path(told["FILE"]).read_text().split()
    signal.signal(signal.SIGTERM, _stop)
    if "CREATE" in told:
        _create(store, told)
    with store.run(told["ORG"], told["JOB"], wait_s=30) as run:
        run.total(len(lines))
        start = run.checkpoint or 0
        for number, line in enumerate(lines[start:], start + 1):
            run.check()
            time.sleep(int(told["ROW_MS"]) / 1000)
            checkpoint = number if number % int(told["EVERY"]) == 0 or number == len(lines) else None
            if line == "abort":
                raise batchstatus.JobAborted("INVALID_ENTITY_REFERENCES", f"line {number}")
            if line == "ok":
                run.succeeded(checkpoint=checkpoint)
            else:
                row = {"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": f"line {number}"}
                run.failed(row, checkpoint=checkpoint)


def _create(store: batchstatus.JobStore, told: dict[str, str]) -> None:
    asked = json.loads(told["CREATE"])
    content = {"total_items": asked["totalItems"], "metadata": asked["metadata"]}
    store.create(told["ORG"], asked["kind"], job_id=told["JOB"], takeover_s=asked["takeoverMs"] / 1000, **content)


def _stop(*_: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    main()
