"""What the doctor makes of a server's words."""

import time

import pytest

from batchstatus.doctor import Level
from batchstatus.doctor.state import (
    examine_clock,
    examine_latency,
    examine_memory,
    examine_persistence,
    examine_replicas,
    examine_version,
)
from batchstatus.settings import StoreSettings


class Said:
    """A server that says these things."""

    name = ""

    def __init__(self, ahead_s=0.0, slow_s=0.0, **info):
        self._info, self._ahead_s, self._slow_s = info, ahead_s, slow_s

    def info(self, section):
        return self._info

    def ask(self, *words):
        time.sleep(self._slow_s)
        now_s = time.time() + self._ahead_s
        return (int(now_s), int(now_s % 1 * 1e6)) if words == ("TIME",) else {}


def found(examine, server, **settings):
    finding = examine(server, StoreSettings(**settings))
    assert bool(finding.remedy) is (finding.level in (Level.WARNING, Level.PROBLEM))
    return finding.level, finding.message


@pytest.mark.parametrize(
    ("said", "level", "words"),
    [
        ({"redis_version": "6.2.14"}, Level.WARNING, "Redis 6.2.14 is older than 7.0"),
        ({"redis_version": "7.0.15"}, Level.OK, "Redis 7.0.15"),
        ({"redis_version": "10.0.0"}, Level.OK, "Redis 10.0.0"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, Level.OK, "Valkey 8.1.0"),
        ({}, Level.UNKNOWN, "does not say its version"),
    ],
)
def test_a_version_below_seven_is_a_warning(said, level, words):
    known, message = found(examine_version, Said(**said))
    assert known is level
    assert words in message


@pytest.mark.parametrize(
    ("policy", "maxmemory", "words"),
    [
        ("allkeys-lru", 100, "loses jobs, rows, indexes and API keys, without a word, once memory is full"),
        ("volatile-ttl", 100, "loses jobs and rows that are in use, without a word, once memory is full"),
        ("allkeys-random", 0, "if ever a maxmemory is set"),
    ],
)
def test_a_policy_that_evicts_is_a_warning_that_says_what_is_lost(policy, maxmemory, words):
    level, message = found(examine_memory, Said(maxmemory_policy=policy, maxmemory=maxmemory, used_memory=1))
    assert level is Level.WARNING
    assert f"maxmemory-policy {policy} " in message
    assert words in message


@pytest.mark.parametrize(("used", "level"), [(80, Level.OK), (81, Level.WARNING)])
def test_memory_that_is_nearly_full_is_a_warning(used, level):
    said = Said(maxmemory_policy="noeviction", maxmemory=100, used_memory=used)
    assert found(examine_memory, said)[0] is level


def test_persistence_is_judged_by_the_append_only_file():
    assert found(examine_persistence, Said(aof_enabled=0))[0] is Level.WARNING
    assert found(examine_persistence, Said(aof_enabled=1, aof_last_write_status="ok"))[0] is Level.OK
    assert found(examine_persistence, Said(aof_enabled=1, aof_last_write_status="err"))[0] is Level.PROBLEM
    assert found(examine_persistence, Said())[0] is Level.UNKNOWN


@pytest.mark.parametrize(
    ("states", "wanted", "level"),
    [
        ([], 0, Level.OK),
        (["online"], 0, Level.OK),
        ([], 1, Level.PROBLEM),
        (["wait_bgsave"], 1, Level.PROBLEM),
        (["online"], 1, Level.WARNING),
        (["online", "online"], 1, Level.OK),
    ],
)
def test_replicas_are_held_against_min_replicas(states, wanted, level):
    replicas = {f"slave{number}": {"state": state} for number, state in enumerate(states)}
    assert found(examine_replicas, Said(role="master", **replicas), min_replicas=wanted)[0] is level


def test_a_read_only_replica_is_a_problem():
    assert found(examine_replicas, Said(role="slave"))[0] is Level.PROBLEM


@pytest.mark.parametrize(("ahead_s", "words"), [(0, "off ours"), (5, "ahead of ours"), (-5, "behind ours")])
def test_a_clock_that_is_off_is_a_warning(ahead_s, words):
    level, message = found(examine_clock, Said(ahead_s=ahead_s))
    assert level is (Level.WARNING if ahead_s else Level.OK)
    assert words in message


@pytest.mark.parametrize(("slow_s", "level"), [(0.0, Level.OK), (0.003, Level.WARNING)])
def test_a_poll_that_takes_a_tenth_of_the_timeout_is_a_warning(slow_s, level):
    assert found(examine_latency, Said(slow_s=slow_s), timeout_s=0.02 if slow_s else 10)[0] is level
