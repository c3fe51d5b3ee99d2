"""Every key in Redis: its name, its type, its time to live. Nobody else spells a key.

    <prefix>:{<org>:<jobId>}           hash  the job, all of it            the retention, from its last change
    <prefix>:{<org>:<jobId>}:failures  list  failed rows, JSON each        as the job
    <prefix>:{<org>:<jobId>}:skips     list  skipped rows, JSON each       as the job
    <prefix>:index:{<org>}:<kind>:<status>
                                       zset  createdAt → jobId             none: the reaper drops entries
    <prefix>:leases:{<bucket>}         zset  next look → org:jobId         none: the reaper drops entries
    <prefix>:expiries:{<bucket>}       zset  next look → org:jobId         none: the reaper drops entries
    <prefix>:apikey:<sha256>           hash  one API key's record          until it expires, if it does
    <prefix>:apikeys:<org>             hash  API key id → sha256           none: it is the organization's list

The braces are a hash tag: a job and its rows share one Cluster slot, so a script may touch all three, and so
does all of an organization's index, so that a page of it is of one moment. The organization is part of the key, so
another organization's job is not found rather than found and refused.
"""

import re
import zlib
from typing import NamedTuple

from batchstatus.errors import InvalidValue
from batchstatus.model import Kind, Status

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The shape of organization and job ids (ASCII, matched in full), so that no id can forge another key."""

BUCKETS = 16
"""How many keys the lease index, and that of expiries, is spread over: no slot of a Cluster has it all."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class JobKeys(NamedTuple):
    """The keys of one job, in the order in which the scripts take them."""

    job: str
    failures: str
    skips: str


class Entry(NamedTuple):
    """Where the index of leases, or that of expiries, has a job: the key of its bucket, and its member there."""

    key: str
    member: str

    @property
    def job(self) -> tuple[str, str]:
        """The organization and the id of the job."""
        org, _, job_id = self.member.partition(":")
        return org, job_id

    @property
    def job_tag(self) -> str:
        """What decides which server of a Cluster has the job: the hash tag of its keys."""
        return f"{{{self.member}}}"


class Keys:
    """Builds the keys below one prefix. Raises InvalidValue on ids and prefixes that could forge a key."""

    def __init__(self, prefix: str) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise InvalidValue(f"prefix {prefix!r} does not match ^{_PREFIX.pattern}$")
        self._prefix = prefix

    def job(self, org: str, job_id: str) -> JobKeys:
        """The keys of the job `job_id` of the organization `org`."""
        job = f"{self._prefix}:{{{checked_id('org', org)}:{checked_id('job_id', job_id)}}}"
        return JobKeys(job, f"{job}:failures", f"{job}:skips")

    def index(self, org: str, kind: Kind, status: Status) -> str:
        """The organization's jobs of one kind and status."""
        return f"{self._prefix}:index:{{{checked_id('org', org)}}}:{kind}:{status}"

    def leases(self, bucket: int) -> str:
        """A bucket of the lease index, from 0 to BUCKETS - 1."""
        return f"{self._prefix}:leases:{{{bucket}}}"

    def lease_entry(self, org: str, job_id: str) -> Entry:
        """Where the lease index has this job."""
        member = _member(org, job_id)
        return Entry(self.leases(_bucket(member)), member)

    def expiries(self, bucket: int) -> str:
        """A bucket of the index of expiries, from 0 to BUCKETS - 1."""
        return f"{self._prefix}:expiries:{{{bucket}}}"

    def expiry_entry(self, org: str, job_id: str) -> Entry:
        """Where the index of expiries has this job."""
        member = _member(org, job_id)
        return Entry(self.expiries(_bucket(member)), member)

    def api_key(self, sha256: str) -> str:
        """The record of the API key with this SHA-256 (hex)."""
        return f"{self._prefix}:apikey:{sha256}"

    def api_keys(self, org: str) -> str:
        """The list of the organization's API keys."""
        return f"{self._prefix}:apikeys:{checked_id('org', org)}"


def _member(org: str, job_id: str) -> str:
    return f"{checked_id('org', org)}:{checked_id('job_id', job_id)}"


def _bucket(member: str) -> int:
    return zlib.crc32(member.encode()) % BUCKETS


def checked_id(name: str, value: str) -> str:
    """`value` as it is, or InvalidValue naming it; `name` is what the caller calls it."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidValue(f"{name} {value!r:.80} does not match ^{ID.pattern}$")
    return value
