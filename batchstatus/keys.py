"""Every key in Redis: its name, its type, its time to live. No other module builds a key.

    <prefix>:{<org>:<jobId>}           hash  the whole job                 the retention, from its last change
    <prefix>:{<org>:<jobId>}:failures  list  failed rows, JSON each        as the job
    <prefix>:{<org>:<jobId>}:skips     list  skipped rows, JSON each       as the job
    <prefix>:index:{<org>}:<kind>:<status>
                                       zset  createdAt → jobId             none: the reaper drops entries
    <prefix>:leases:{<bucket>}         zset  next look → org:jobId         none: the reaper drops entries
    <prefix>:expiries:{<bucket>}       zset  next look → org:jobId         none: the reaper drops entries
    <prefix>:apikey:<sha256>           hash  one API key's record          until the key's expiry, if any
    <prefix>:apikeys:<org>             hash  API key id → sha256           none: the organization's list

The braces are a hash tag, which selects the Cluster slot. A job and its rows share one slot, so one script can
access all three keys. An organization's whole index shares one slot, so a page of history is a consistent
snapshot. The organization is part of the key, so another organization's job is simply not found.
"""

import re
import zlib
from typing import NamedTuple

from batchstatus.errors import InvalidValue
from batchstatus.model import Kind, Status

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The pattern of organization and job ids, which must match the whole id: no id can then forge another key."""

BUCKETS = 16
"""Number of buckets of the lease index, and of the index of expiries: several keys, so several Cluster slots."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class JobKeys(NamedTuple):
    """The keys of one job, in the order of the scripts' KEYS."""

    job: str
    failures: str
    skips: str


class Entry(NamedTuple):
    """A job's entry in the lease index or the index of expiries: the bucket's key and the member in it."""

    key: str
    member: str

    @property
    def job(self) -> tuple[str, str]:
        """Organization and id of the job."""
        org, _, job_id = self.member.partition(":")
        return org, job_id

    @property
    def job_tag(self) -> str:
        """The hash tag of the job's keys, which decides the Cluster server that stores the job."""
        return f"{{{self.member}}}"


class Keys:
    """Builds the keys below one prefix. Raises InvalidValue for an id or a prefix that could forge a key."""

    def __init__(self, prefix: str) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise InvalidValue(f"prefix {prefix!r} does not match ^{_PREFIX.pattern}$")
        self._prefix = prefix

    def job(self, org: str, job_id: str) -> JobKeys:
        """Returns the keys of the organization's job."""
        job = f"{self._prefix}:{{{checked_id('org', org)}:{checked_id('job_id', job_id)}}}"
        return JobKeys(job, f"{job}:failures", f"{job}:skips")

    def index(self, org: str, kind: Kind, status: Status) -> str:
        """Returns the index key of the organization's jobs of one kind and status."""
        return f"{self._prefix}:index:{{{checked_id('org', org)}}}:{kind}:{status}"

    def leases(self, bucket: int) -> str:
        """Returns the key of a bucket (0 to BUCKETS - 1) of the lease index."""
        return f"{self._prefix}:leases:{{{bucket}}}"

    def lease_entry(self, org: str, job_id: str) -> Entry:
        """Returns the job's entry in the lease index."""
        member = _member(org, job_id)
        return Entry(self.leases(_bucket(member)), member)

    def expiries(self, bucket: int) -> str:
        """Returns the key of a bucket (0 to BUCKETS - 1) of the index of expiries."""
        return f"{self._prefix}:expiries:{{{bucket}}}"

    def expiry_entry(self, org: str, job_id: str) -> Entry:
        """Returns the job's entry in the index of expiries."""
        member = _member(org, job_id)
        return Entry(self.expiries(_bucket(member)), member)

    def api_key(self, sha256: str) -> str:
        """Returns the key of the record of the API key with this SHA-256 (hex)."""
        return f"{self._prefix}:apikey:{sha256}"

    def api_keys(self, org: str) -> str:
        """Returns the key of the list of the organization's API keys."""
        return f"{self._prefix}:apikeys:{checked_id('org', org)}"


def _member(org: str, job_id: str) -> str:
    return f"{checked_id('org', org)}:{checked_id('job_id', job_id)}"


def _bucket(member: str) -> int:
    return zlib.crc32(member.encode()) % BUCKETS


def checked_id(name: str, value: str) -> str:
    """Returns `value` if it is a valid id, else raises InvalidValue; `name` is the argument's name."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidValue(f"{name} {value!r:.80} does not match ^{ID.pattern}$")
    return value
