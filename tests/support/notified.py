"""What tests of webhooks share: a receiver in the test's process, and a dispatcher that sends to it."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from batchstatus import Job, JobStore
from batchstatus.reaper import Reaper
from batchstatus.webhooks.dispatcher import Dispatcher
from batchstatus.webhooks.endpoints import Endpoint
from batchstatus.webhooks.notices import Notices
from batchstatus.webhooks.secrets import Secrets
from batchstatus.webhooks.sending import Answer
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"
KEY = "a key that only the tests have and nobody else"
KNOWN = Secrets([KEY])
DELIVERED = Answer(200, "HTTP 200")


class Request(NamedTuple):
    """A request that a receiver got."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        """Returns the notice, verified by the reference library."""
        return Webhook(secret).verify(self.body, dict(self.headers))


class Receiver:
    """Stands in for `Sender`: keeps what is sent, and answers as told, the last answer again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers or [DELIVERED])
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self.hanging: dict[str, threading.Event] = {}
        """For a URL, what its requests wait for before they are answered."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        with self._lock:
            self.requests.append(Request(url, headers, body))
            answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if url in self.hanging:
            assert self.hanging[url].wait(60)
        return answer

    @property
    def ids(self) -> list[str]:
        """The `webhook-id` of each request."""
        return [each.headers["Webhook-Id"] for each in self.requests]


class Notified:
    """An organization with endpoints, a reaper, and a dispatcher that sends to `receiver`."""

    def __init__(self, store: JobStore, *answers: Answer, waits_s: Sequence[float] = (0.02, 0.02)) -> None:
        self.store = store
        self.receiver = Receiver(*answers)
        self.notices = Notices(store.connection)
        self.endpoints = self.notices.endpoints
        self.counted: list[str] = []
        self.reaper = Reaper(store, notes_s=60)  # a busy machine notes all ends in one round too
        self.dispatcher = self.another(waits_s=waits_s)

    def another(self, known: Secrets = KNOWN, **options: Any) -> Dispatcher:
        """Returns a further dispatcher."""
        receiver: Any = self.receiver
        return Dispatcher(self.store.connection, known, receiver, self.counted.append, **options)

    def endpoint(self, url: str = "https://hooks.example.com/1", **options: Any) -> tuple[str, Endpoint]:
        """Add an endpoint; returns its secret, and the endpoint."""
        return self.endpoints.add(ORG, url, KNOWN, **options)

    def completed(self, **options: Any) -> Job:
        """Returns a job that a worker has completed."""
        job = self.store.create(ORG, KIND, **options)
        with self.store.run(ORG, job.job_id) as run:
            run.succeeded(3)
        return self.store.get(ORG, job.job_id)

    def send(self, dispatcher: Dispatcher | None = None) -> None:
        """Have the reaper look, and then the dispatcher; wait for what the dispatcher begins."""
        dispatcher = dispatcher or self.dispatcher
        self.reaper.reap()
        dispatcher.dispatch()
        wait_until(lambda: not dispatcher.under_way())

    def send_until(self, many: int) -> None:
        """Send until the receiver has got so many requests."""
        wait_until(lambda: (self.send(), len(self.receiver.requests) >= many)[-1])
