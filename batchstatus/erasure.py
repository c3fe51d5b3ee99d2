"""The right to erasure: removes all that the store has of an organization, or of one job."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

from batchstatus.model.keys import BUCKETS, checked_job, checked_org
from batchstatus.store import JobStore

Removed: TypeAlias = Counter[str]
"""How many things of each sort were removed."""

Room: TypeAlias = Callable[[str, str | None], Removed]
"""Removes what one part of the package stores of an organization or, with an id, of one job."""

MAX_PASSES = 5
"""How often to look again for what was written meanwhile."""

AT_ONCE = 500
"""How many members of a sorted set are removed in one command."""


class Erased(NamedTuple):
    """What was removed, by sort; `complete` unless somebody went on writing all the time."""

    removed: Mapping[str, int]
    complete: bool


class Erasure:
    """Erases organizations and jobs of a store. May raise StoreUnavailable half-way; repeat it then.

    found = Erasure(store).erase("org_acme")
    """

    def __init__(self, store: JobStore) -> None:
        self._connection = store.connection
        self._keys = store.connection.keys
        # API keys first: who has none makes nothing anew. Endpoints before jobs: no end is then noted for one.
        self._rooms: tuple[Room, ...] = (self._api_keys, self._tickets, self._webhooks, self._jobs, self._looks)

    def erase(self, org: str, job_id: str | None = None) -> Erased:
        """Remove an organization, or one of its jobs, until nothing is left; returns what was there.

        Raises InvalidValue for ids that cannot be.
        """
        checked_org(org)
        if job_id is not None:
            checked_job(job_id)
        removed: Removed = Counter()
        for _ in range(MAX_PASSES):
            found: Removed = Counter()
            for room in self._rooms:
                found += room(org, job_id)
            if not found:
                return Erased(removed, complete=True)
            removed += found
        return Erased(removed, complete=False)

    def _api_keys(self, org: str, job_id: str | None) -> Removed:
        """Remove API keys: the record first, as of a key that is revoked."""
        index = self._keys.api_keys(org)
        listed = {} if job_id else self._connection.hash(index)
        for key_id, sha256 in listed.items():
            self._connection.write("DEL", self._keys.api_key(sha256.decode()))
            self._connection.write("HDEL", index, key_id)
        return Counter(apiKeys=len(listed))

    def _tickets(self, org: str, job_id: str | None) -> Removed:
        """Remove tickets; of a job, those that read this job alone."""
        index = self._keys.tickets(org)
        removed: Removed = Counter()
        for listed in self._connection.command("ZRANGEBYSCORE", index, "-inf", "+inf"):
            ticket = self._keys.ticket(listed.decode())
            if job_id is None or self._connection.command("HGET", ticket, "job") == job_id.encode():
                self._connection.write("DEL", ticket)
                removed["tickets"] += self._connection.write("ZREM", index, listed)
        return removed

    def _webhooks(self, org: str, job_id: str | None) -> Removed:
        """Remove endpoints, and what is listed of deliveries; of a job, only the latter."""
        listed = self._keys.deliveries(org)
        if job_id is not None:
            deliveries = self._connection.scan(self._keys.deliveries_of(job_id), listed)
            return Counter(deliveries=self._remove(listed, deliveries))
        endpoints = self._connection.write("DEL", self._keys.webhooks(org))
        return Counter(webhooks=endpoints, deliveries=self._remove(listed, self._connection.scan("*", listed)))

    def _jobs(self, org: str, job_id: str | None) -> Removed:
        """Remove jobs, with rows, parts, notices and entries in the organization's index.

        They are found by a scan of all keys: a job's entry in the index may have been lost, and a kind may not be
        declared any more. A job's hash goes first: without it no script writes anything for the job.
        """
        removed: Removed = Counter()
        index, begun = set(), set()
        for found in self._connection.scan(self._keys.pattern(org)):
            key = found.decode(errors="replace")
            owner = self._keys.job_of(org, key)
            if owner and job_id in (None, owner):
                own = dict.fromkeys((*self._keys.job(org, owner), *self._keys.parts(org, owner)))
                if owner not in begun:
                    removed += self._delete([*own])
                    begun.add(owner)
                if key not in own:
                    removed += self._delete([key])
            elif self._keys.is_index(org, key):
                index.add(key)
        for key in sorted(index):
            members = self._connection.scan("*", key) if job_id is None else (job_id,)
            removed["historyEntries"] += self._remove(key, members)
        return removed

    def _looks(self, org: str, job_id: str | None) -> Removed:
        """Remove the entries for looks at leases, expiries and notices, those of jobs that are gone included."""
        keys, many = self._keys, 0
        if job_id is None:
            for key in (name(n) for name in (keys.leases, keys.expiries, keys.notices) for n in range(BUCKETS)):
                many += self._remove(key, self._connection.scan(keys.members(org), key))
        else:
            for each in (keys.lease_entry, keys.expiry_entry, keys.notices_entry):
                entry = each(org, job_id)
                many += self._remove(entry.key, (entry.member,))
        return Counter(scheduleEntries=many)

    def _delete(self, keys: Sequence[str]) -> Removed:
        """Delete keys of one job, all at once."""
        sorts = {key: sort for key in keys if (sort := _sort_of(key))}
        reads = [("LLEN" if sort.endswith("Rows") else "EXISTS", key) for key, sort in sorts.items()]
        removed: Removed = Counter()
        for sort, many in zip(sorts.values(), self._connection.pipeline(reads) if reads else (), strict=True):
            removed[sort] += many or 0
        self._connection.write("DEL", *keys)
        return removed

    def _remove(self, key: str, members: Iterable[str | bytes]) -> int:
        """Remove members from a sorted set, some at a time; returns how many were there."""
        rest, many = iter(members), 0
        while some := [*islice(rest, AT_ONCE)]:
            many += self._connection.write("ZREM", key, *some)
        return many


def _sort_of(key: str) -> str | None:
    """Returns what is under a key of a job or part; None for what only coordinates parts."""
    if key.endswith("}"):
        return "jobs"
    *_, before, last = key.split(":")
    numbered = {"part": "parts", "notice": "notices"}
    return numbered.get(before) or {"failures": "failedRows", "skips": "skippedRows"}.get(last)
