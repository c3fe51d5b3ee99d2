"""Ids of jobs, which sort by creation time, UUID version 7 (RFC 9562 §5.7); and the name of a worker."""

import os
import platform
import re
import secrets
import time
import uuid


def new_job_id() -> str:
    """Returns a new UUIDv7: 48 bits of milliseconds since the epoch, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    version, variant = 0x7 << 76, 0b10 << 62
    random = secrets.randbits(12) << 64 | secrets.randbits(62)
    return str(uuid.UUID(int=milliseconds << 80 | version | variant | random))


def worker_name() -> str:
    """Returns `<host>:<pid>` of this process, in printable ASCII and at most 100 characters."""
    return re.sub(r"[^!-~]", "?", f"{platform.node()[:80]}:{os.getpid()}")
