"""Job ids that sort by their time of making: UUID version 7 (RFC 9562 §5.7)."""

import secrets
import time
import uuid


def new_job_id() -> str:
    """A new UUIDv7: 48 bits of milliseconds, then 74 random ones."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    version, variant = 0x7 << 76, 0b10 << 62
    random = secrets.randbits(12) << 64 | secrets.randbits(62)
    return str(uuid.UUID(int=milliseconds << 80 | version | variant | random))
