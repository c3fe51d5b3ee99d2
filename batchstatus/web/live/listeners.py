"""Who listens to which job, or to which organization's jobs."""

import threading
from typing import TypeAlias

from batchstatus.model.messages import JobKey

Subject: TypeAlias = tuple[str, str | None]
"""What is listened to: a job, or with None in place of its id an organization's jobs."""


class Listener:
    """An open stream: of one job, or without `job_id` of an organization's. `known` is the last tag it was sent.

    It is sent the jobs in `first` at once, and all news after `number`, the last when `first` was read. `woken` is
    set when there may be news, and at `due_at`, a time that the stream sets.
    """

    __slots__ = ("due_at", "first", "job_id", "known", "number", "org", "woken")

    def __init__(self, org: str, job_id: str | None, known: str, number: int) -> None:
        self.org, self.job_id, self.known, self.number = org, job_id, known, number
        self.first: set[JobKey] | None = None
        self.due_at = 0.0
        self.woken = threading.Event()


class Listeners:
    """The listeners of a process, by what they listen to: to find those of a job must not cost a look at all."""

    def __init__(self) -> None:
        self._to: dict[Subject, set[Listener]] = {}
        self._number = 0
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return self._number

    def add(self, listener: Listener) -> None:
        """Add a listener, once."""
        with self._changing:
            self._to.setdefault((listener.org, listener.job_id), set()).add(listener)
            self._number += 1

    def remove(self, listener: Listener) -> None:
        """Remove a listener that was added."""
        subject = (listener.org, listener.job_id)
        with self._changing:
            self._to[subject].remove(listener)
            self._number -= 1
            if not self._to[subject]:
                del self._to[subject]

    def to(self, subject: Subject) -> list[Listener]:
        """Returns those who listen to a job, or to an organization's jobs."""
        return list(self._to.get(subject, ()))

    def all(self) -> list[Listener]:
        """Returns all listeners."""
        return [each for subject in list(self._to) for each in self.to(subject)]

    def due(self, now: float) -> list[Listener]:
        """Returns those whose time has come."""
        return [each for each in self.all() if each.due_at <= now]

    def jobs(self) -> list[JobKey]:
        """Returns the jobs that anybody listens to, not as one of an organization's."""
        return [(org, job_id) for org, job_id in list(self._to) if job_id is not None]

    def orgs(self) -> list[str]:
        """Returns the organizations to whose jobs anybody listens."""
        return sorted(org for org, job_id in list(self._to) if job_id is None)
