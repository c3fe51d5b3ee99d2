"""Errors between us and Redis, and the errors of ours that they become."""

import re
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from redis import RedisCluster, exceptions

from batchstatus import (
    Action,
    JobCorrupt,
    JobStore,
    NotReplicated,
    Status,
    StoreRefused,
    StoreUnavailable,
    connect,
)
from batchstatus.model.keys import JobKeys, Keys
from batchstatus.model.messages import Batch, Claim, Ending, Verdict
from batchstatus.protocol import verbs
from batchstatus.protocol.at_once import composed
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.transport.together import REFUSES_MULTI
from batchstatus.transport.urls import open_client
from batchstatus.web.server.trips import SharingConnection
from tests.support.waiting import wait_until

ORG = "org_acme"
OF_REDIS_PY = [each for each in vars(exceptions).values() if isinstance(each, type)]
TROUBLE = [
    *(error("1 host:1") for error in OF_REDIS_PY if issubclass(error, exceptions.RedisError)),
    *(exceptions.ResponseError(text) for text in ("OOM command not allowed", "unknown command")),
    *(OSError(5, "Input/output error"), ConnectionResetError(104, "reset"), TimeoutError(), BrokenPipeError()),
]
WAYS = {
    "command": lambda connection: connection.command("GET", "k"),
    "transaction": lambda connection: connection.transaction(("GET", "k"), ("GET", "k")),
    "evaluate": lambda connection: connection.evaluate("sha", "return redis.call('GET', KEYS[1])", ["k"], []),
}
SENT_OTHERWISE = {WAYS["evaluate"]: exceptions.NoScriptError, WAYS["transaction"]: REFUSES_MULTI}
"""The refusals after which the same is sent once more in other words; the server has done nothing yet."""

each_way = pytest.mark.parametrize("send", WAYS.values(), ids=WAYS)


class Broken:
    """A redis-py client, and its pipeline, that fail with the same error whatever is sent."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.sent = error, 0

    def execute_command(self, *_: Any) -> None:
        self.sent += 1
        raise self.error

    def pipeline(self, transaction: bool) -> Any:
        assert transaction
        return SimpleNamespace(execute_command=lambda *_: None, execute=lambda **_: self.execute_command())


def test_the_errors_tried_here_include_those_that_redis_py_raises():
    names = {type(error).__name__ for error in TROUBLE}
    assert names >= {"ConnectionError", "TimeoutError", "BusyLoadingError", "AuthenticationError", "ReadOnlyError"}
    assert names >= {"OutOfMemoryError", "NoPermissionError", "MaxConnectionsError", "ClusterDownError", "OSError"}


@each_way
@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: f"{type(error).__module__}.{type(error).__name__}")
def test_every_error_of_redis_py_becomes_store_unavailable_and_no_command_is_repeated(send, error):
    client: Any = Broken(error)
    with pytest.raises(StoreUnavailable, match=r"^the store (is unavailable|refused): ") as raised:
        send(Connection(client))
    assert raised.value.__cause__ is error
    assert client.sent == (2 if isinstance(error, SENT_OTHERWISE.get(send, ())) else 1)


@each_way
@pytest.mark.parametrize("text", ["WRONGTYPE Operation against a key", "user_script:32: attempt to compare"])
def test_errors_about_stored_data_become_job_corrupt(send, text):
    client: Any = Broken(exceptions.ResponseError(text))
    with pytest.raises(JobCorrupt):
        send(Connection(client))


@each_way
@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit()], ids=repr)
def test_other_exceptions_pass_unchanged(send, error):
    client: Any = Broken(error)
    with pytest.raises(type(error)) as raised:
        send(Connection(client))
    assert raised.value is error


# Against a store


@each_way
def test_a_key_of_another_type_is_job_corrupt(client, send):
    client.rpush("k", "a row")
    with pytest.raises(JobCorrupt):
        send(Connection(client))


SUSPECTED_AT_ONCE = StoreSettings(lease_s=0.001, grace_s=0, retention_s=60, max_rows=5)
NUMBERS = {
    "claim": ["leaseExpiresAt", "takeoverMs", "heartbeatAt", "fence", "rev", "kept"],
    "control": ["createdAt", "rev"],
    "report": ["succeeded", "failed", "skipped", "totalItems", "seq", "heartbeatAt", "rev"],
    "finish": ["takeoverMs", "heartbeatAt", "rev"],
    "settle": ["leaseExpiresAt", "takeoverMs", "heartbeatAt", "rev"],
}


def do(verb: str, connection: Connection, keys: JobKeys, claim: Claim) -> None:
    """Run the verb on a job whose worker is suspect."""
    {
        "claim": lambda: verbs.claim(connection, keys, "another"),
        "control": lambda: verbs.control(connection, keys, Action.CANCEL),
        "report": lambda: verbs.report(connection, keys, claim, 1, Batch(1, ({"externalId": "F-1"},))),
        "finish": lambda: verbs.finish(connection, keys, claim, Ending(Status.INTERRUPTED)),
        "settle": lambda: verbs.settle(connection, keys),
    }[verb]()


@pytest.fixture
def suspect(client, store, request):
    """A job whose worker is suspect, and which a claim takes over at once: its connection, keys, claim."""
    takeover_s = 60 if request.node.callspec.params["verb"] == "claim" else 0
    job = store.create(ORG, "transaction_batch", total_items=10, takeover_s=takeover_s)
    connection, keys = Connection(client, SUSPECTED_AT_ONCE), Keys("batchstatus").job(ORG, job.job_id)
    claim = verbs.claim(connection, keys, "t")
    wait_until(lambda: verbs.settle(connection, keys).verdict is Verdict.SUSPECT)
    return connection, keys, claim


each_verb = pytest.mark.parametrize("verb", NUMBERS)


@each_verb
def test_each_script_changes_an_undamaged_job(client, suspect, verb):
    connection, keys, claim = suspect
    before = client.hgetall(keys.job)
    do(verb, connection, keys, claim)
    assert int(client.hget(keys.job, "rev")) == int(before[b"rev"]) + 1


@pytest.mark.parametrize(("verb", "field"), [(verb, each) for verb, fields in NUMBERS.items() for each in fields])
def test_a_damaged_number_is_job_corrupt_and_the_script_writes_nothing(client, suspect, verb, field):
    connection, keys, claim = suspect
    client.hset(keys.job, field, "many")
    before = client.hgetall(keys.job)
    with pytest.raises(JobCorrupt):
        do(verb, connection, keys, claim)
    assert client.hgetall(keys.job) == before
    assert client.exists(keys.failures) == 0


def test_a_job_of_another_type_cannot_be_claimed(client, store):
    job = store.create(ORG, "transaction_batch")
    keys = Keys("batchstatus").job(ORG, job.job_id)
    client.delete(keys.job)
    client.set(keys.job, "text", px=60_000)
    for call in (lambda: store.get(ORG, job.job_id), lambda: store.run(ORG, job.job_id).__enter__()):
        with pytest.raises(JobCorrupt):
            call()


def test_scripts_are_sent_again_to_a_store_that_has_forgotten_them(client, store):
    first = store.create(ORG, "transaction_batch")
    client.script_flush()
    second = store.create(ORG, "transaction_batch")
    assert store.get(ORG, first.job_id).status == store.get(ORG, second.job_id).status == "queued"
    assert client.script_exists(composed(verbs.CREATE.source)[0]) == [True]


def test_a_transaction_answers_all_commands_at_one_moment(client):
    client.set("k", "7")
    assert Connection(client).transaction(("GET", "k"), ("INCR", "k"), ("GET", "k")) == [b"7", 8, b"8"]


def test_a_pipeline_answers_none_for_a_key_of_another_type(client):
    client.hset("hash", "is", "here")
    client.rpush("list", "a row")
    connection = Connection(client)
    assert connection.hashes(["hash", "list", "absent"]) == [{b"is": b"here"}, None, {}]
    assert connection.pipeline([("LLEN", "list"), ("LLEN", "hash"), ("EXISTS", "hash")]) == [1, None, 1]
    with pytest.raises(StoreUnavailable):
        connection.pipeline([("EXISTS", "hash"), ("NO-SUCH-COMMAND", "hash")])


def test_a_closed_connection_opens_again(redis_url):
    connection = Connection(open_client(redis_url, StoreSettings()))
    assert connection.command("PING")
    connection.close()
    assert connection.command("PING")


def test_an_unreachable_cluster_is_store_unavailable_by_every_method():
    def unreachable() -> Any:
        raise exceptions.RedisClusterException("Redis Cluster cannot be connected")

    asking = [
        lambda connection: connection.is_cluster(),
        lambda connection: connection.server_of("k"),
        lambda connection: SharingConnection(unreachable).hash("k"),
        *WAYS.values(),
    ]
    for ask in asking:
        with pytest.raises(StoreUnavailable):
            ask(Connection(unreachable))


def test_only_a_cluster_that_was_reached_has_many_servers(client):
    cluster: Any = object.__new__(RedisCluster)
    connection = Connection(lambda: cluster)
    assert not connection.has_many_servers()
    assert connection.is_cluster()
    assert connection.has_many_servers()
    single = Connection(client)
    assert not single.is_cluster()
    assert not single.has_many_servers()


# Replicas that are to confirm


def test_without_a_replica_creating_or_revoking_an_api_key_is_not_replicated(redis_url):
    alone = connect(redis_url, min_replicas=1, timeout_s=5)  # of which 4 s are for the replica
    with pytest.raises(NotReplicated):
        alone.api_keys.create(ORG, ["transactions:create"])
    trusting = connect(redis_url, timeout_s=30)
    _, record = trusting.api_keys.create(ORG, ["transactions:create"])
    with pytest.raises(NotReplicated):
        alone.api_keys.revoke(record.id)
    alone.close()
    trusting.close()


def test_confirming_renews_all_keys_of_a_job_so_that_none_expires_first(client, store):
    sent: list[tuple[Any, ...]] = []

    class Replicated(Connection):
        def _pipeline(self, key: str, commands: Any, *, transaction: bool) -> list[Any]:
            sent.extend(commands)
            return [1] * len(commands)

    keys = Keys("batchstatus").job(ORG, "J")
    Replicated(client, StoreSettings(min_replicas=1)).confirm(keys, 7_000)
    assert [words[:3] for words in sent] == [*(("PEXPIRE", key, 7_000) for key in keys), ("WAIT", 1, 800)]


# Servers that do not answer


@pytest.fixture
def mute():
    """A server that accepts connections, keeps what it receives, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        received: list[bytes] = []

        def listen() -> None:
            try:
                while True:
                    taken, _ = server.accept()
                    received.append(taken.recv(65536))
                    held.append(taken)
            except OSError:
                return

        held: list[socket.socket] = []
        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], received
        for each in held:
            each.close()


@pytest.mark.parametrize("options", ["", "?retry_on_timeout=true", "?health_check_interval=1"])
def test_a_silent_server_is_asked_once_and_given_up_after_the_timeout(mute, options):
    port, received = mute
    store = JobStore(open_client(f"redis://127.0.0.1:{port}/0{options}", StoreSettings(timeout_s=0.3)))
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.ping()
    assert 0.25 < time.monotonic() - started < 20
    assert len(received) == 1


def test_a_refused_connection_is_store_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StoreUnavailable):
        connect(f"redis://127.0.0.1:{port}/0").ping()


def test_a_wrong_password_or_a_missing_permission_is_store_unavailable(redis_client, redis_url):
    redis_client.acl_setuser("reader", enabled=True, passwords=["+right"], keys=["*"], commands=["+get", "+ping"])
    try:
        for user, words in {"reader:wrong": ["PING"], "reader:right": ["HGETALL", "k"]}.items():
            client = open_client(redis_url.replace("//", f"//{user}@"), StoreSettings())
            with pytest.raises(StoreUnavailable):
                Connection(client).command(*words)
            client.close()
    finally:
        redis_client.acl_deluser("reader")


READS = [
    ("HGETALL", "h"), ("HGETALL", "none"), ("LRANGE", "l", 0, 1), ("LLEN", "l"), ("HMGET", "h", "a", "x"),
    ("ZREVRANGEBYSCORE", "z", "+inf", "-inf", "WITHSCORES", "LIMIT", 0, 5), ("PTTL", "none"),
]  # fmt: skip


@pytest.mark.parametrize("refusal", [exceptions.OutOfMemoryError("OOM"), exceptions.AskError("1 host:1")])
def test_reads_of_one_moment_are_a_script_where_the_server_refuses_multi(
    redis_url, redis_client, monkeypatch, refusal
):
    redis_client.hset("h", mapping={"a": "1", "b": "2"})
    redis_client.rpush("l", "x", "y", "z")
    redis_client.zadd("z", {"m": 5, "n": 6})
    connection = Connection(open_client(redis_url, StoreSettings()))
    wanted = connection.transaction(*READS)

    def refuse(*_: Any, **__: Any) -> None:
        raise refusal

    monkeypatch.setattr(connection, "_pipeline", refuse)
    assert connection.transaction(*READS) == wanted
    connection.close()
    redis_client.delete("h", "l", "z")


def test_a_key_of_another_type_is_corrupt_in_the_script_too(redis_client, monkeypatch):
    redis_client.set("h", "text", ex=60)
    connection = Connection(redis_client)

    def refuse(*_: Any, **__: Any) -> None:
        raise exceptions.OutOfMemoryError("OOM")

    monkeypatch.setattr(connection, "_pipeline", refuse)
    with pytest.raises(JobCorrupt):
        connection.transaction(("HGETALL", "h"))


@pytest.mark.parametrize("word", ["OOM", "READONLY", "NOREPLICAS", "MISCONF"])
@pytest.mark.parametrize(
    "text",
    [
        "{} not now",
        "Error running script (call to f_8d): @user_script:7: @user_script: 7: -{} not now",
        "ERR user_script:7: {} not now script: 8d, on @user_script:7.",
        "Command # 1 (EVALSHA 8d) of pipeline caused error: {} not now",
    ],
)
def test_a_refusal_inside_a_script_is_no_corruption(text, word):
    with pytest.raises(StoreRefused):
        Connection(Broken(exceptions.ResponseError(text.format(word)))).command("GET", "k")


@pytest.mark.parametrize(
    "error",
    [
        exceptions.MovedError("6938 10.0.0.7:6379"),
        exceptions.ClusterCrossSlotError("Keys don't hash to the same slot"),
    ],
)
def test_a_cluster_that_is_taken_for_one_server_is_told_so(error):
    with pytest.raises(StoreRefused, match=re.escape("redis+cluster://")):
        Connection(Broken(error)).command("GET", "k")
