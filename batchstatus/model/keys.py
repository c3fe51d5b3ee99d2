"""Every key in Redis: its name, its type, its time to live. No other module builds a key.

    <prefix>:{<org>:<jobId>}           hash  the whole job                 the retention, from its last change
    <prefix>:{<org>:<jobId>}:failures  list  failed rows, JSON each        as the job
    <prefix>:{<org>:<jobId>}:skips     list  skipped rows, JSON each       as the job
    <prefix>:{<org>:<jobId>}:leases    zset  lease end → part at work      as the part
    <prefix>:{<org>:<jobId>}:awaiting  zset  window's end → part           as the part
    <prefix>:{<org>:<jobId>}:part:<n>  hash  a part of a split job         a quarter longer than the job's
    <prefix>:{<org>:<jobId>}:part:<n>:failures
                                       list  the part's failed rows        as the part
    <prefix>:{<org>:<jobId>}:part:<n>:skips
                                       list  the part's skipped rows       as the part
    <prefix>:{<org>:<jobId>}:notice:<endpoint>
                                       hash  the notice of the job's end   10 days longer than the job's
    <prefix>:index:{<org>}:<kind>:<status>
                                       zset  createdAt → jobId             none: the reaper drops entries
    <prefix>:leases:{<bucket>}         zset  next look → org:jobId         none: the reaper drops entries
    <prefix>:expiries:{<bucket>}       zset  next look → org:jobId         none: the reaper drops entries
    <prefix>:notices:{<bucket>}        zset  next try → org:jobId          none: the dispatcher drops entries
    <prefix>:leases:{turn}             hash  the reaper whose turn it is   less than a second
    <prefix>:expiries:{turn}           hash  the reaper whose turn it is   some seconds
    <prefix>:notices:{turn}            hash  the dispatcher's turn         some seconds
    <prefix>:leases:{measured}         hash  how many jobs run             half a minute
    <prefix>:apikey:<sha256>           hash  one API key's record          until the key's expiry, if any
    <prefix>:apikeys:<org>             hash  API key id → sha256           none: the organization's list
    <prefix>:ticket:<sha256>           hash  one ticket's record           until the ticket's expiry
    <prefix>:tickets:<org>             zset  expiry → sha256 of a ticket   24 hours from the last ticket
    <prefix>:webhooks:<org>            hash  endpoint → its record         none: the organization's list
    <prefix>:deliveries:<org>          zset  last event → jobId:endpoint   as a notice, from the last event

The braces are a hash tag, which selects the Cluster slot. A job, its rows and its parts share one slot, so one
script can access all their keys. An organization's whole index shares one slot, so a page of history is a
consistent snapshot. The organization is part of the key, so another organization's job is simply not found.
"""

import re
import zlib
from collections.abc import Collection
from typing import NamedTuple

from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import Status

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The pattern of job ids, which must match the whole id: no id can then forge another key."""

ORG = re.compile(r"(?!\.+$)[A-Za-z0-9_.@-]{1,64}")
"""The pattern of organizations, such as `acme.com`, likewise. Dots alone would be a folder to a file system."""

BUCKETS = 16
"""Number of buckets of the lease index, and of the index of expiries: several keys, so several Cluster slots."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class JobKeys(NamedTuple):
    """The keys of one job, in the order of the scripts' KEYS."""

    job: str
    failures: str
    skips: str


class PartsKeys(NamedTuple):
    """The keys of a split job: its own hash, its parts at work, and its parts that await another worker."""

    job: str
    leases: str
    awaiting: str

    def part(self, number: int) -> JobKeys:
        """Returns the keys of a part; the first is 1."""
        part = f"{self.job}:part:{number}"
        return JobKeys(part, f"{part}:failures", f"{part}:skips")

    def all(self, parts: int) -> list[str]:
        """Returns the keys of so many parts, in their order."""
        return [key for number in range(1, parts + 1) for key in self.part(number)]


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
        job = f"{self._prefix}:{{{checked_org(org)}:{checked_job(job_id)}}}"
        return JobKeys(job, f"{job}:failures", f"{job}:skips")

    def parts(self, org: str, job_id: str) -> PartsKeys:
        """Returns the keys of the organization's split job."""
        job = self.job(org, job_id).job
        return PartsKeys(job, f"{job}:leases", f"{job}:awaiting")

    def index(self, org: str, kind: str, status: Status) -> str:
        """Returns the index key of the organization's jobs of one kind and status."""
        return self.indexes(org, (kind,), (status,))[0]

    def indexes(self, org: str, kinds: Collection[str], statuses: Collection[Status]) -> list[str]:
        """Returns the index keys of each kind with each status, kind by kind."""
        index = f"{self._prefix}:index:{{{checked_org(org)}}}"
        return [f"{index}:{kind}:{status}" for kind in kinds for status in statuses]

    def pattern(self, org: str) -> str:
        """Returns the pattern that all keys of the organization's jobs and index match, and few others do."""
        return f"{self._prefix}:*{{{checked_org(org)}[:}}]*"

    def members(self, org: str) -> str:
        """Returns the pattern that all entries of the organization's jobs for looks match."""
        return f"{checked_org(org)}:*"

    def job_of(self, org: str, key: str) -> str | None:
        """Returns the id of the organization's job that has this key, for itself, rows or parts; else None."""
        begin = f"{self._prefix}:{{{org}:"
        job_id, brace, _ = key.removeprefix(begin).partition("}")
        return job_id if key.startswith(begin) and brace and ID.fullmatch(job_id) else None

    def is_index(self, org: str, key: str) -> bool:
        """Returns True for a key of the organization's index, of whatever kind and status."""
        return key.startswith(f"{self._prefix}:index:{{{org}}}:")

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

    def turns(self) -> tuple[str, str]:
        """Returns the keys of the reaper's turn at the lease index, and at the index of expiries."""
        return f"{self._prefix}:leases:{{turn}}", f"{self._prefix}:expiries:{{turn}}"

    def notices(self, bucket: int) -> str:
        """Returns the key of a bucket (0 to BUCKETS - 1) of the index of notices."""
        return f"{self._prefix}:notices:{{{bucket}}}"

    def notices_entry(self, org: str, job_id: str) -> Entry:
        """Returns the job's entry in the index of notices."""
        member = _member(org, job_id)
        return Entry(self.notices(_bucket(member)), member)

    def notices_turn(self) -> str:
        """Returns the key of the dispatcher's turn at the index of notices."""
        return f"{self._prefix}:notices:{{turn}}"

    def notice(self, org: str, job_id: str, endpoint: str) -> str:
        """Returns the key of the notice of a job's end for an endpoint."""
        return f"{self.job(org, job_id).job}:notice:{endpoint}"

    def webhooks(self, org: str) -> str:
        """Returns the key of the list of the organization's endpoints."""
        return f"{self._prefix}:webhooks:{checked_org(org)}"

    def deliveries(self, org: str) -> str:
        """Returns the key of the list of the organization's newest deliveries."""
        return f"{self._prefix}:deliveries:{checked_org(org)}"

    def measured(self) -> str:
        """Returns the key of what a reaper has measured for the metrics."""
        return f"{self._prefix}:leases:{{measured}}"

    def deliveries_of(self, job_id: str) -> str:
        """Returns the pattern that the deliveries of a job match in the list of its organization."""
        return f"{checked_job(job_id)}:*"

    def api_key(self, sha256: str) -> str:
        """Returns the key of the record of the API key with this SHA-256 (hex)."""
        return f"{self._prefix}:apikey:{sha256}"

    def api_keys(self, org: str) -> str:
        """Returns the key of the list of the organization's API keys."""
        return f"{self._prefix}:apikeys:{checked_org(org)}"

    def ticket(self, sha256: str) -> str:
        """Returns the key of the record of the ticket with this SHA-256 (hex)."""
        return f"{self._prefix}:ticket:{sha256}"

    def tickets(self, org: str) -> str:
        """Returns the key of the list of the organization's tickets."""
        return f"{self._prefix}:tickets:{checked_org(org)}"


def _member(org: str, job_id: str) -> str:
    return f"{checked_org(org)}:{checked_job(job_id)}"


def _bucket(member: str) -> int:
    return zlib.crc32(member.encode()) % BUCKETS


def checked_org(value: str) -> str:
    """Returns `value` if it can be an organization, else raises InvalidValue."""
    if not isinstance(value, str) or not ORG.fullmatch(value):
        raise InvalidValue(f"org {value!r:.80} does not match ^{ORG.pattern}$")
    return value


def checked_job(value: str) -> str:
    """Returns `value` if it is a valid job id, else raises InvalidValue."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidValue(f"job_id {value!r:.80} does not match ^{ID.pattern}$")
    return value
