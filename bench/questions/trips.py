"""Round trips to the store, step by step, and the commands that its server runs.

The server counts both itself (INFO), so the figures are exact. Nothing else uses the store meanwhile: the
service's application answers the polls in this process, without the reaper of a served process. Commands include
those that scripts run.
"""

import time
from collections.abc import Callable, Iterator, Mapping

from batchstatus import Run
from batchstatus.model.ids import new_job_id
from batchstatus.web import create_app
from bench.report.figures import Answer, Table
from bench.tools.counting import Done, ServerCount
from bench.tools.setting import KIND, ORG, ROW, Setting

ROWS = 100
LIFE = ("create", "claim", "report", "end")


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
    for _ in range(2):  # the first time loads the scripts
        found = _steps(setting)
    rows = [(name, done.round_trips, done.commands.total(), _named(done)) for name, done in found.items()]
    life = [found[name] for name in LIFE]
    trips, commands = (sum(each.round_trips for each in life), sum(each.commands.total() for each in life))
    rows.append((f"a life: {', '.join(LIFE)}", trips, commands, ""))
    columns = {"step": "", "trips": "d", "commands": "d", "which": ""}
    yield Table("Round trips to the store, and the commands that its server runs", columns, rows)


def _steps(setting: Setting) -> dict[str, Done]:
    """Returns the store's work for each step of a job's life, in their order."""
    store, job_id = setting.store, new_job_id()
    run, service = store.run(ORG, job_id), create_app(store).test_client()

    def poll(query: str = "") -> None:
        path = f"/batch-import/jobs/{job_id}{query}"
        answer = service.get(path, headers={"Authorization": f"Bearer {setting.api_key}"})
        assert answer.status_code == 200

    steps: Mapping[str, Callable[[], object]] = {
        "create": lambda: store.create(ORG, KIND, job_id=job_id, metadata={"fileName": "november.csv"}),
        "claim": run.__enter__,
        "report": lambda: _report(run, 0),
        f"report with {ROWS} failed rows": lambda: _report(run, ROWS),
        "heartbeat": lambda: time.sleep(1.3),
        "poll with a key that is not known yet": poll,
        "poll": poll,
        "poll, include=failures": lambda: poll("?include=failures"),
        "end": lambda: run.__exit__(None, None, None),
    }
    return {name: _counted(setting, step) for name, step in steps.items()}


def _report(run: Run, failed: int) -> None:
    run.succeeded(checkpoint=failed)
    for _ in range(failed):
        run.failed(ROW)
    time.sleep(0.35)  # longer than the 0.2 s until the report is sent, shorter than the second until a heartbeat


def _counted(setting: Setting, step: Callable[[], object]) -> Done:
    count = ServerCount(setting.url)
    step()
    return count.done()


def _named(done: Done) -> str:
    commands = sorted(done.commands.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{many} {name.upper()}" for name, many in commands)
