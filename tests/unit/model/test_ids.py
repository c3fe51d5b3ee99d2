"""Job ids, UUID version 7; and what a worker calls itself."""

import os
import platform
import time
import uuid

import pytest

from batchstatus.model.ids import new_job_id, worker_name
from batchstatus.model.keys import checked_job

MOMENT_MS = 1_763_910_245_123


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    """Returns a function that creates an id at a given time since the epoch."""

    def made(milliseconds: int, nanoseconds: int = 0) -> str:
        monkeypatch.setattr(time, "time_ns", lambda: milliseconds * 1_000_000 + nanoseconds)
        return new_job_id()

    return made


def test_an_id_is_a_uuid_of_version_7():
    made = new_job_id()
    parsed = uuid.UUID(made)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert str(parsed) == made


def test_an_id_can_be_part_of_a_key():
    assert checked_job(new_job_id())


def test_the_first_48_bits_are_the_milliseconds(at):
    assert uuid.UUID(at(MOMENT_MS)).int >> 80 == MOMENT_MS


@pytest.mark.parametrize("moment", [0, 255, MOMENT_MS, 2**48 - 2])
def test_an_id_made_a_millisecond_later_sorts_after(at, moment):
    assert max(at(moment, 999_999) for _ in range(20)) < min(at(moment + 1) for _ in range(20))


def test_every_other_bit_is_random(at):
    made = [uuid.UUID(at(MOMENT_MS)).int for _ in range(200)]
    first, *others = made
    varying = 0
    for other in others:
        varying |= first ^ other
    assert varying == (1 << 76) - (1 << 64) | (1 << 62) - 1


def test_ids_of_one_millisecond_are_all_different(at):
    assert len({at(MOMENT_MS) for _ in range(2_000)}) == 2_000


def test_a_worker_is_named_by_its_host_and_process():
    assert worker_name() == f"{platform.node()}:{os.getpid()}"


@pytest.mark.parametrize("host", ["", "h" * 200, "caf\xe9\n", "\udcff", "a b"])
def test_whatever_the_host_is_called_the_service_takes_the_name(monkeypatch, host):
    monkeypatch.setattr(platform, "node", lambda: host)
    assert worker_name().isascii()
    assert worker_name().isprintable()
    assert len(worker_name()) <= 100
    assert worker_name().endswith(f":{os.getpid()}")
