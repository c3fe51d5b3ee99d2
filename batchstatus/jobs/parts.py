"""The steps of one part's life, and looks at the parts of a job whose leases are out."""

from batchstatus.jobs.transitions import Transitions
from batchstatus.model import values
from batchstatus.model.job import MAX_PARTS, Place
from batchstatus.model.messages import Ending, Grant, Look, Verdict
from batchstatus.protocol import verbs
from batchstatus.protocol.of_part import OfPart
from batchstatus.protocol.script import Sender
from batchstatus.transport.connection import Connection
from batchstatus.transport.together import scored


class PartTransitions(Transitions):
    """The transitions of one part of a split job, and with them the job's.

    Raises beside that InvalidTransition if the job is not split, and InvalidValue if it has no such part.
    """

    def __init__(self, connection: Connection, org: str, job_id: str, part: int) -> None:
        super().__init__(connection, org, job_id)
        self._parts = connection.keys.parts(org, job_id)
        self._keys = self._parts.part(values.count("part", part, 1, MAX_PARTS))

    def _through(self, sender: Sender) -> Sender:
        return OfPart(sender, self._parts)

    def _place_to_come(self, claim: Grant, ending: Ending) -> Place | None:
        """Returns None: whether the job ends with a part is known in the store alone."""
        return None


def look_at_parts(connection: Connection, org: str, job_id: str) -> Look:
    """Look at those parts of a running job that are due: past their lease, or past their takeover window."""
    keys = connection.keys.parts(org, job_id)
    found = verbs.due(connection, (keys.leases, keys.awaiting), MAX_PARTS)
    due = sorted({int(number) for numbers in found for number in numbers})
    looks = []
    for number in due:
        looks.append(PartTransitions(connection, org, job_id, number).settle())
        if looks[-1].verdict in (Verdict.SETTLED, Verdict.ENDED):
            return looks[-1]
    times = [look.due_ms for look in looks if look.due_ms]
    first = ("WITHSCORES", "LIMIT", 0, len(due) + 1)
    scores = [("ZRANGEBYSCORE", key, "-inf", "+inf", *first) for key in (keys.leases, keys.awaiting)]
    for answer in connection.transaction(*scores):
        times += [int(at) for member, at in scored(answer) if int(member) not in due]
    if not times:
        return Look(Verdict.QUEUED, None)  # no part is at work, and none has been
    changed = any(look.verdict is Verdict.VACANT for look in looks)
    return Look(Verdict.VACANT if changed else Verdict.ALIVE, min(times))
