"""Sends the notices of jobs' ends. Every process with the operator's key has a dispatcher; none is the leader."""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from standardwebhooks import Webhook

from batchstatus.jobs.turns import Rounds, Turn
from batchstatus.model.errors import StoreUnavailable
from batchstatus.model.keys import Entry
from batchstatus.settings import WEBHOOKS_KEY_VARIABLE
from batchstatus.transport.connection import Connection
from batchstatus.webhooks.endpoints import Endpoint
from batchstatus.webhooks.notices import Notices, Try
from batchstatus.webhooks.secrets import Secrets
from batchstatus.webhooks.sending import Answer, Sender

INTERVAL_S = 0.5
TURN_S = 2.0
"""How long a dispatcher's turn lasts unless it is kept; longer than the interval."""

WAITS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long after each try the next one comes, as Standard Webhooks 1.0.0 proposes; after the last, none."""

JITTER = 0.1
"""By what share a wait may be longer: the notices of an outage shall not all come at once when it is over."""

HOLD_S = 30.0
"""How long a try belongs to its dispatcher: longer than it may last. One that dies is followed after that."""

MOST_AT_ONCE = 128
"""How many tries a process has under way at most."""

MOST_OF_ENDPOINT = 4
"""How many of them are for one endpoint at most, so that a slow one leaves room for the others."""

FULL_MS = 1_000
"""How long to leave a notice for which there was no room, at least."""

APART_MS = 10
"""How much longer each further one of the same endpoint: looks at thousands of them would hold up the others."""

UNSIGNED_S = 60.0
"""How often to say that an endpoint's notices cannot be signed, and how long to leave them after ROLL_OUT_S."""

ROLL_OUT_S = 600.0
"""For how long to look again soon at notices that cannot be signed: a new key is with every process by then."""

Counted: TypeAlias = Callable[[str], None]

_log = logging.getLogger(__name__)


class Dispatcher:
    """Looks at every job with notices that are due, and sends them, each in a thread (a greenlet under gevent).

    `count` is called with the outcome of each try: `delivered`, `failed`, or `given_up` where it was the last.
    `hold_s` and `waits_s` (seconds) are for tests.
    """

    def __init__(
        self,
        connection: Connection,
        known: Secrets,
        sender: Sender,
        count: Counted = lambda outcome: None,
        *,
        hold_s: float = HOLD_S,
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self._notices = Notices(connection)
        self._known = known
        self._sender = sender
        self._count = count
        self._hold_ms = round(hold_s * 1000)
        self._waits_s = waits_s
        self._tries: list[tuple[str, threading.Thread]] = []
        self._full: dict[str, float] = {}
        self._unsigned: dict[str, tuple[float, float]] = {}
        self._turn = Turn(connection, connection.keys.notices_turn(), TURN_S)
        self._rounds = Rounds("dispatcher", self.dispatch, INTERVAL_S, self._turn)

    @classmethod
    def of(
        cls,
        connection: Connection,
        known: Secrets,
        allow: Collection[str],
        count: Counted = lambda outcome: None,
    ) -> "Dispatcher":
        """Returns a dispatcher whose endpoints may be, beside public https addresses, what `allow` says.

        `allow` has `http`, `private`, both or neither.
        """
        return cls(connection, known, Sender(allow_private="private" in allow, allow_http="http" in allow), count)

    def dispatch(self) -> None:
        """Look once at every job with notices that are due, and begin the tries. Raises as `Looks.work_off`."""
        now_ms = time.monotonic() * 1000
        self._full = {endpoint: until_ms for endpoint, until_ms in self._full.items() if until_ms > now_ms}
        self._notices.schedule.work_off(self._look_at)

    def start(self) -> None:
        """Dispatch from now on, whenever it is this dispatcher's turn."""
        self._rounds.start()

    def stop(self) -> None:
        """Begin no more tries. Another dispatcher repeats those under way whose outcome is not noted."""
        self._rounds.stop()

    def under_way(self) -> list[str]:
        """Returns the endpoints of the tries that are under way, one for each."""
        self._tries = [(endpoint, thread) for endpoint, thread in self._tries if thread.is_alive()]
        return [endpoint for endpoint, _ in self._tries]

    def _look_at(self, entry: Entry) -> None:
        # Before anything is read: what changes later asks for another look.
        if (asked_ms := self._notices.schedule.asked_ms(entry)) is None:
            return
        org, job_id = entry.job
        endpoints = self._notices.due(org, job_id, self._notices.endpoints.list(org))
        due_ms = [self._look_for(org, job_id, each) for each in endpoints]
        later_ms = [each for each in due_ms if each is not None]
        self._notices.schedule.looked(entry, asked_ms, min(later_ms, default=None))

    def _look_for(self, org: str, job_id: str, endpoint: Endpoint) -> int | None:
        """Begin the try that is due; returns in how many ms to look again, None if there is no need to."""
        under_way = self.under_way()
        if len(under_way) >= MOST_AT_ONCE or under_way.count(endpoint.id) >= MOST_OF_ENDPOINT:
            return self._full_ms(endpoint.id)
        if not endpoint.disabled and not self._secrets(endpoint):
            return self._unsigned_ms(endpoint)
        begun = self._notices.begin(org, job_id, endpoint, secrets.token_hex(8), self._hold_ms)
        if not isinstance(begun, Try):
            return begun
        if endpoint.disabled:
            self._notices.end(org, job_id, endpoint, begun, "failed", 0, f"not sent: {endpoint.disabled}")
            return None
        name = f"batchstatus webhook {endpoint.id}"
        thread = threading.Thread(target=self._send, args=(org, job_id, endpoint, begun), name=name, daemon=True)
        self._tries.append((endpoint.id, thread))
        thread.start()
        return self._hold_ms

    def _full_ms(self, endpoint_id: str) -> int:
        """Returns how long to leave a notice that cannot be sent now (ms): longer than those before it."""
        now_ms = time.monotonic() * 1000
        self._full[endpoint_id] = max(self._full.get(endpoint_id, 0) + APART_MS, now_ms + FULL_MS)
        return round(self._full[endpoint_id] - now_ms)

    def _unsigned_ms(self, endpoint: Endpoint) -> int:
        """Leave a notice that cannot be signed here to those that have the key; returns for how long (ms)."""
        self._turn.leave()
        now = time.monotonic()
        since, said_at = self._unsigned.get(endpoint.id, (now, -UNSIGNED_S))
        if now >= said_at + UNSIGNED_S:
            _log.error("endpoint %s: its secret is from another %s", endpoint.id, WEBHOOKS_KEY_VARIABLE)
            said_at = now
        self._unsigned[endpoint.id] = since, said_at
        return self._full_ms(endpoint.id) if now < since + ROLL_OUT_S else round(UNSIGNED_S * 1000)

    def _send(self, org: str, job_id: str, endpoint: Endpoint, begun: Try) -> None:
        """Send a notice, and note what came of it."""
        try:
            answer = self._sender.post(endpoint.url, self._headers(endpoint, begun), begun.body)
            state, wait_s = self._judged(answer, begun.number)
            if answer.gone:
                self._notices.endpoints.disable(endpoint, answer.reason)
                _log.warning("endpoint %s is disabled: %s", endpoint.id, answer.reason)
            self._notices.end(org, job_id, endpoint, begun, state, round(wait_s * 1000), answer.reason)
            self._count({"delivered": "delivered", "due": "failed", "failed": "given_up"}[state])
            say = _log.info if answer.delivered else _log.warning
            say("job %s of %s: endpoint %s: %s: try %d", job_id, org, endpoint.id, answer.reason, begun.number)
        except StoreUnavailable as error:  # the notice is tried again after the hold
            _log.warning("job %s of %s: what came of a notice cannot be noted: %s", job_id, org, error)
        except Exception:  # a bug: say so, or nobody learns of it
            _log.exception("job %s of %s: the notice for endpoint %s", job_id, org, endpoint.id)

    def _judged(self, answer: Answer, number: int) -> tuple[str, float]:
        """Returns the state of a notice after its `number`-th try, and the seconds to the next."""
        if answer.delivered:
            return "delivered", 0
        if answer.gone or number > len(self._waits_s):
            return "failed", 0
        wait_s = self._waits_s[number - 1] * random.uniform(1, 1 + JITTER)
        return "due", max(wait_s, answer.retry_after_s or 0)

    def _headers(self, endpoint: Endpoint, begun: Try) -> dict[str, str]:
        """Returns the headers of Standard Webhooks 1.0.0: id, time of the try, a signature with each secret."""
        at = datetime.fromtimestamp(begun.at_s, UTC)
        signed = (
            Webhook(each).sign(begun.message_id, at, begun.body.decode()) for each in self._secrets(endpoint)
        )
        return {
            "Content-Type": "application/json",
            "User-Agent": "batchstatus",
            "Webhook-Id": begun.message_id,
            "Webhook-Timestamp": str(begun.at_s),
            "Webhook-Signature": " ".join(signed),
        }

    def _secrets(self, endpoint: Endpoint) -> list[str]:
        """Returns the endpoint's secrets that are in use, the newest first; none if the newest is not known."""
        newest, *others = endpoint.secrets
        secret = self._known.known_by(newest.fingerprint, newest.name)
        if secret is None:
            return []
        now_ms = time.time() * 1000
        used = [each for each in others if each.until_ms is None or each.until_ms > now_ms]
        known = (self._known.known_by(each.fingerprint, each.name) for each in used)
        return [secret, *(each for each in known if each)]
