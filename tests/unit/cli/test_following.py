"""The looks that `watch` takes on a terminal, beside the events."""

import io
import sys
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from batchstatus import Job
from batchstatus.cli.terminal.following import looks
from batchstatus.cli.terminal.progress import ProgressView
from batchstatus.model.errors import ServiceUnavailable
from tests.support.waiting import wait_until
from tests.unit.cli.jobs import JOB_ID, job

PARTS = [{"part": 1, "status": "queued"}]


class Service:
    """A client that gives these jobs, the last one for ever, and these parts; None is no answer."""

    def __init__(self, *jobs: Job | None, parts: list[dict[str, Any]] | None = None) -> None:
        self.jobs, self.found = [*jobs], parts or []
        self.asked = self.asked_for_parts = 0

    def get(self, job_id: str, *, progress: bool) -> Job:
        self.asked += 1
        found = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        if found is None:
            raise ServiceUnavailable("no answer")
        return found

    def parts(self, job_id: str) -> list[dict[str, Any]]:
        self.asked_for_parts += 1
        return self.found

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def view() -> ProgressView:
    """A view on a terminal that nobody sees."""
    return ProgressView(Console(file=io.StringIO(), force_terminal=True))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["batchstatus.cli.terminal.following"], "LOOK_S", 0.001)


def test_a_look_shows_what_no_event_tells(view: ProgressView) -> None:
    first, second = job(), job(succeeded=410)
    with looks(Service(first, second), view, JOB_ID):
        wait_until(lambda: view.shown(JOB_ID) is second)


def test_a_look_that_an_event_has_overtaken_is_not_shown(view: ProgressView) -> None:
    newer = job(succeeded=500)

    class Overtaken(Service):
        def get(self, job_id: str, *, progress: bool) -> Job:
            view.update(JOB_ID, replace(newer))  # another each time, as every event is
            return super().get(job_id, progress=progress)

    service = Overtaken(job())
    with looks(service, view, JOB_ID):
        wait_until(lambda: service.asked_for_parts)
        assert view.shown(JOB_ID) == newer


def test_a_job_that_has_begun_without_parts_is_not_asked_for_them_again(view: ProgressView) -> None:
    service = Service(job())
    with looks(service, view, JOB_ID):
        wait_until(lambda: service.asked >= 5)
    assert service.asked_for_parts == 1


def test_looks_go_on_while_there_is_no_answer(view: ProgressView) -> None:
    service = Service(None, None, job(), parts=PARTS)
    with looks(service, view, JOB_ID):
        wait_until(lambda: service.asked_for_parts >= 2)
    assert view.shown(JOB_ID) == job()


def test_without_a_terminal_nothing_is_asked() -> None:
    service = Service(job())
    with looks(service, ProgressView(Console(file=io.StringIO())), JOB_ID):
        pass
    assert service.asked == 0
