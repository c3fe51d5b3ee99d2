"""`batchstatus doctor` on real servers: each of our topologies, with TLS and access rules, well and unwell."""

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from batchstatus.doctor import Finding, Level, examine, log_warnings
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import StoreSettings
from tests.support.commands import Run, assert_refused, fresh_environment, runner, start
from tests.support.nodes import Node
from tests.support.permissions import as_user, documented_keys, documented_rule, make_user, with_keys
from tests.support.ports import free_port
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService
from tests.support.tls import Certificates, make_certificates, tls_server
from tests.support.topologies import ClusterTopology, SentinelTopology
from tests.support.waiting import wait_until

WELL = ("--appendonly", "yes")
OFFLINE = {"version", "memory", "persistence", "replicas"}
"""The checks that need `INFO`."""


@pytest.fixture
def batchstatus(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    fresh_environment(monkeypatch)
    return runner(capsys)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server that is as it should be."""
    with EmbeddedServer(*WELL) as server:
        yield server


def by_check(found: list[Finding]) -> dict[str, Finding]:
    """The findings, each check having one."""
    assert len({each.check for each in found}) == len(found)
    return {each.check: each for each in found}


def not_ok(found: list[Finding]) -> dict[str, Level]:
    return {each.check: each.level for each in found if each.level is not Level.OK}


def test_a_server_that_is_well_passes_every_check(server: EmbeddedServer) -> None:
    found = by_check(examine(server.url, StoreSettings(**UNHURRIED)))
    checks = {"connection", "TLS", "topology", *OFFLINE, "access rules", "clock", "latency"}
    assert found.keys() == checks
    assert not_ok([*found.values()]) == {}


def test_an_examination_writes_nothing(server: EmbeddedServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        examine(server.url, StoreSettings(**UNHURRIED))
        assert client.keys() == []


def test_the_command_prints_each_finding_with_what_to_do(batchstatus: Run, server: EmbeddedServer) -> None:
    well = batchstatus("doctor", "--redis-url", server.url)
    assert (well.code, well.err) == (0, "")
    assert all(line.startswith("ok  ") for line in well.out.splitlines())
    unwell = batchstatus("doctor", "--redis-url", server.url, "--min-replicas", "1")
    assert unwell.code == 1
    line, remedy = unwell.out.partition("problem")[2].splitlines()[:2]
    assert line.strip() == "replicas: 0 replicas are online, and min_replicas is 1: no write counts"
    assert remedy.strip().startswith("-> start replicas")


def test_as_json_a_finding_has_four_members(batchstatus: Run, server: EmbeddedServer) -> None:
    result = batchstatus("doctor", "--redis-url", server.url, "--json")
    assert (result.code, result.err) == (0, "")
    body = json.loads(result.out)
    assert body[0] == {"check": "connection", "level": "ok", "message": "the store answers", "remedy": ""}
    assert {len(each) for each in body} == {4}


def test_a_store_that_is_away_is_exit_code_3(batchstatus: Run) -> None:
    result = batchstatus("doctor", "--json", "--redis-url", f"redis://127.0.0.1:{free_port()}/0")
    assert (result.code, result.err) == (3, "")
    assert [(each["check"], each["level"]) for each in json.loads(result.out)] == [("connection", "problem")]


def test_a_wrong_url_is_exit_code_2(batchstatus: Run) -> None:
    assert_refused(batchstatus("doctor", "--redis-url", "http://127.0.0.1/"), 2, "must start with one of")


def test_a_warning_alone_is_exit_code_0(batchstatus: Run) -> None:
    with EmbeddedServer() as forgetful:
        result = batchstatus("doctor", "--redis-url", forgetful.url, "--json")
    levels = {each["check"]: each["level"] for each in json.loads(result.out)}
    assert (result.code, levels["persistence"]) == (0, "warning")


# Access rules


def test_a_user_with_the_documented_rights_passes_and_what_needs_more_cannot_be_told(
    server: EmbeddedServer,
) -> None:
    with redis.Redis.from_url(server.url) as client:
        make_user(client, documented_rule())
        found = examine(as_user(server.url), StoreSettings(**UNHURRIED))
    assert not_ok(found) == dict.fromkeys(OFFLINE, Level.UNKNOWN)
    assert by_check(found)["access rules"].message == "the user may do all that is needed"


@pytest.mark.parametrize("right", [word for word in documented_rule() if word.startswith("+")])
def test_each_missing_right_is_named(server: EmbeddedServer, right: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        make_user(client, [word for word in documented_rule() if word != right])
        found = examine(as_user(server.url), StoreSettings(**UNHURRIED))
    named = [f"{each.message} {each.remedy}" for each in found if each.level in (Level.PROBLEM, Level.UNKNOWN)]
    assert any(right.strip("+") in each for each in named)


def test_rights_for_a_part_of_the_keys_are_told_apart(server: EmbeddedServer) -> None:
    rules = {
        "a worker": with_keys(documented_rule(), documented_keys("neither read nor make")),
        "a service": with_keys(documented_rule(), documented_keys("enough for it")),
        "nobody": with_keys(documented_rule(), ["~batchstatus:{*", "~batchstatus:index:*"]),
    }
    said = {}
    with redis.Redis.from_url(server.url) as client:
        for whose, rule in rules.items():
            make_user(client, rule)
            finding = by_check(examine(as_user(server.url), StoreSettings(**UNHURRIED)))["access rules"]
            said[whose] = finding.level, finding.message
    assert said["a service"] == (Level.OK, "the user may do all that the service does, and make no API keys")
    assert said["a worker"][0] is Level.WARNING
    assert said["a worker"][1].startswith("the user may not read API keys")
    unusable = "~batchstatus:leases:* ~batchstatus:expiries:*"
    assert said["nobody"] == (Level.PROBLEM, f"the user may not use the keys {unusable}")


# TLS, replicas, topologies


def test_the_certificate_is_looked_at(certificates: Certificates, batchstatus: Run) -> None:
    with tls_server(certificates, *WELL) as encrypted:
        with redis.Redis.from_url(encrypted.server.url) as client:
            make_user(client, documented_rule())
        url = as_user(encrypted.url)
        checked = by_check(examine(url, StoreSettings(tls_ca_file=certificates.ca, **UNHURRIED)))["TLS"]
        assert checked.level is Level.WARNING  # it is valid for a day
        assert checked.message.startswith("TLSv1.")
        assert checked.message.endswith("the server's certificate expires in 1 days")
        unchecked = by_check(examine(f"{url}?ssl_cert_reqs=none", StoreSettings(**UNHURRIED)))["TLS"]
        assert "is not checked" in unchecked.message
        assert batchstatus("doctor", "--redis-url", url).code == 3
        assert batchstatus("doctor", "--redis-url", url, "--tls-ca-file", certificates.ca).code == 0


@pytest.mark.slow
def test_a_replica_is_a_problem_and_its_primary_is_held_against_min_replicas(server: EmbeddedServer) -> None:
    with Node(*WELL) as primary, Node(*WELL) as replica:
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: primary.replicas_online() == 1, 30)
        settings = StoreSettings(min_replicas=1, **UNHURRIED)
        assert not_ok(examine(replica.url, settings)) == {"replicas": Level.PROBLEM}
        assert not_ok(examine(primary.url, settings)) == {"replicas": Level.WARNING}
        assert not_ok(examine(primary.url, StoreSettings(**UNHURRIED))) == {}


@pytest.mark.slow
def test_sentinels_that_are_away_are_named() -> None:
    with SentinelTopology() as topology:
        # The nodes of this topology have no append-only file.
        assert not_ok(examine(topology.url, StoreSettings(min_replicas=1, **UNHURRIED))) == {
            "persistence": Level.WARNING
        }
        away = topology.sentinels[0]
        away.stop()
        found = examine(topology.url, StoreSettings(**UNHURRIED))
        (named,) = [each for each in found if each.check == "topology"]
        assert named.level is Level.WARNING
        assert named.message.startswith(f"Sentinel 127.0.0.1:{away.port}: ")
        one = f"redis+sentinel://127.0.0.1:{topology.sentinels[1].port}/mymaster/0"
        (few,) = [each for each in examine(one, StoreSettings(**UNHURRIED)) if each.check == "topology"]
        assert few.message == "the URL names 1 of the Sentinels"
        os.makedirs(away._directory)  # for the topology's end, which removes it again


@pytest.mark.slow
def test_a_server_of_a_cluster_that_is_away_is_named() -> None:
    with ClusterTopology(replicas=0) as cluster:
        found = examine(cluster.url, StoreSettings(**UNHURRIED))
        assert not_ok(found) == {"topology": Level.WARNING}  # without replicas
        cluster.nodes[2].kill()
        found = examine(cluster.url, StoreSettings(**UNHURRIED))
        assert found[0].level is Level.OK
        named = [each for each in found if each.level is Level.PROBLEM]
        assert any(f"127.0.0.1:{cluster.nodes[2].port}" in each.message for each in named)


# At the start


def said_at_the_start(url: str, caplog: pytest.LogCaptureFixture, **settings: Any) -> list[str]:
    caplog.clear()
    log_warnings(url, StoreSettings(**{**UNHURRIED, **settings}))
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_service_warns_of_a_policy_that_loses_keys_and_of_nothing_else(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert said_at_the_start(server.url, caplog) == []
    with EmbeddedServer("--maxmemory-policy", "allkeys-lru") as losing:
        (said,) = said_at_the_start(losing.url, caplog)
    assert said.startswith("the store's memory: maxmemory-policy allkeys-lru loses ")
    assert "CONFIG SET maxmemory-policy noeviction" in said


def test_a_store_that_is_away_or_hangs_or_tells_nothing_is_no_trouble(
    server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert said_at_the_start(f"redis://127.0.0.1:{free_port()}/0", caplog) == []
    assert said_at_the_start(f"unix://{tmp_path}/nothing", caplog) == []
    with redis.Redis.from_url(server.url) as client:
        make_user(client, documented_rule())
    assert said_at_the_start(as_user(server.url), caplog) == []
    with EmbeddedServer("--maxmemory-policy", "allkeys-lru") as hanging:
        hanging.pause()
        began = time.monotonic()
        assert said_at_the_start(hanging.url, caplog, timeout_s=0.3) == []
        assert time.monotonic() - began < 5
        hanging.resume()


def test_a_service_and_a_reaper_say_it_once() -> None:
    with EmbeddedServer("--maxmemory-policy", "allkeys-lru") as losing:
        with LiveService(losing.url) as service:
            logged = [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]
        reaper = start("reap", "--redis-url", losing.url)
        try:
            assert reaper.stderr is not None
            said = reaper.stderr.readline()
        finally:
            reaper.terminate()
            _, rest = reaper.communicate(timeout=15)
    (warned,) = [each for each in logged if "allkeys-lru" in each["message"]]
    assert (warned["level"], warned["logger"].split(".")[0]) == ("warning", "batchstatus")
    assert said.strip() == warned["message"]
    assert rest == ""
