"""Errors of the command line: the exit code gives the category, one line gives the reason."""

import socket
import subprocess
import sys

import pytest

from batchstatus import __version__
from tests.support.commands import assert_refused, fresh_environment, runner
from tests.support.ports import free_port

KEY = "bsk_" + "A" * 43
NOBODY = "127.0.0.1:9"  # the discard port: nothing listens there
CREATE = ("keys", "create", "--org", "org_acme", "--permission", "a:b")
LIST = ("keys", "list", "--org", "org_acme")


@pytest.fixture
def batchstatus(capsys, monkeypatch):
    """Returns a function that runs a command."""
    fresh_environment(monkeypatch)
    return runner(capsys)


@pytest.fixture
def caller(batchstatus, live, monkeypatch):
    """Returns a function that runs a caller's command on the live service, with an unknown key."""
    monkeypatch.setenv("BATCHSTATUS_URL", live.url)
    monkeypatch.setenv("BATCHSTATUS_API_KEY", KEY)
    return batchstatus


@pytest.fixture
def served(batchstatus, monkeypatch):
    """Returns a function that runs `serve` without starting gunicorn; `served.with_` collects its settings."""

    class Server:
        def __init__(self, settings):
            run.with_.append(settings)

        def run(self):
            pass

    def run(*arguments):
        return batchstatus("serve", *arguments)

    run.with_ = []
    monkeypatch.setattr(sys.modules["batchstatus.cli.serve"], "Server", Server)
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", f"redis://{NOBODY}")
    monkeypatch.setenv("BATCHSTATUS_BIND", f"127.0.0.1:{free_port()}")
    return run


# 2: usage


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "nonsense"),
        (["statuss", "j"], "statuss"),
        (["keys", "make"], "make"),
        (["status"], "JOB"),
        (["status", "j", "k", "--url", "http://h", "--api-key", KEY], "(k)"),
        (["status", "j", "--colour"], "--colour"),
        (["status", "j", "--api-key", KEY], "--url"),
        (["watch", "j", "--url", "http://h"], "--api-key"),
        (["keys", "create", "--permission", "a:b", "--redis-url", "redis://h"], "--org"),
        (["keys", "create", "--org", "o", "--redis-url", "redis://h"], "--permission"),
        ([*CREATE], "--redis-url"),
        (["keys", "revoke"], "ID"),
        ([*CREATE, "--redis-url", "redis://h", "--permission", "everything"], "everything"),
        (["keys", "list", "--org", "a b", "--redis-url", "redis://h"], "a b"),
        ([*LIST, "--redis-url", "redis://h", "--prefix", "a{b"], "a{b"),
        ([*LIST, "--redis-url", "http://h"], "redis://"),
        ([*LIST, "--redis-url", "redis://h:port"], "port"),
        ([*LIST, "--redis-url", "redis://[::1"], "URL"),
        ([*LIST, "--redis-url", "redis://h?nonsense=1"], "nonsense"),
        (["status", "j", "--url", "ftp://h", "--api-key", KEY], "ftp://h"),
        (["status", "j", "--url", "h:80", "--api-key", KEY], "h:80"),
        (["status", "j", "--url", "http://h", "--api-key", "a\nb"], "api_key"),
        (["demo", "--kind", "transaction_batch"], "--file and --kind"),
        (["demo", "--kind", "entity"], "'transaction_batch'"),
        (["demo", "--file", "/nowhere.csv", "--kind", "transaction_batch"], "/nowhere.csv"),
        (["demo", "--rate", "fast"], "fast"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_wrong_usage_is_named_in_one_line(batchstatus, arguments, named):
    assert_refused(batchstatus(*arguments), 2, named)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "j", "--api-key", KEY], "no service: give --url or set BATCHSTATUS_URL"),
        (["watch", "j", "--url", "http://h"], "no API key: give --api-key or set BATCHSTATUS_API_KEY"),
        ([*LIST], "no store: give --redis-url or set BATCHSTATUS_REDIS_URL"),
        (["status", "j", "--url", "ftp://h", "--api-key", KEY], "(BATCHSTATUS_URL)"),
        (["status", "j", "--url", "http://h", "--api-key", "a b"], "(BATCHSTATUS_API_KEY)"),
        ([*LIST, "--redis-url", "http://h"], "(BATCHSTATUS_REDIS_URL)"),
        ([*LIST, "--redis-url", "redis://h", "--prefix", "a{b"], "(BATCHSTATUS_PREFIX)"),
        ([*LIST, "--redis-url", "redis://h", "--tls-ca-file", "/f.pem"], "(BATCHSTATUS_REDIS_URL)"),
        ([*LIST, "--redis-url", "rediss://h", "--tls-key-file", "/f.pem"], "(BATCHSTATUS_TLS_KEY_FILE)"),
    ],
)
def test_what_a_variable_may_give_is_named_with_the_variable(batchstatus, arguments, said):
    assert_refused(batchstatus(*arguments), 2, said)


def test_no_error_gives_orders_to_the_terminal(batchstatus):
    refused = batchstatus("\x1b[2J\x9bx")
    assert_refused(refused, 2)
    assert refused.err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("arguments", [[], ["keys"]], ids=["batchstatus", "keys"])
def test_no_command_lists_the_commands_and_is_wrong_usage(batchstatus, arguments):
    code, out, err = batchstatus(*arguments)
    assert (code, out) == (2, "")
    assert "Commands:" in err


def test_help_and_version_succeed(batchstatus):
    code, out, err = batchstatus("--help")
    assert (code, err) == (0, "")
    assert {"serve", "demo", "keys", "status", "watch", "failures"} <= set(out.split())
    assert batchstatus("--version") == (0, f"batchstatus {__version__}\n", "")


# 3: unreachable or refused


@pytest.mark.parametrize("command", ["status", "failures"])
def test_an_unreachable_service_is_reported(batchstatus, command):
    refused = batchstatus(command, "j", "--url", f"http://{NOBODY}", "--api-key", KEY)
    assert_refused(refused, 3, f"http://{NOBODY} cannot be reached: Connection refused (BATCHSTATUS_URL)")


def test_a_watched_service_that_stays_unreachable_is_reported(batchstatus, monkeypatch):
    monkeypatch.setattr(sys.modules["batchstatus.cli.terminal.following"], "WATCH_S", 0.1)
    refused = batchstatus("watch", "j", "--url", f"http://{NOBODY}", "--api-key", KEY)
    assert_refused(refused, 3, f"http://{NOBODY} cannot be reached: Connection refused (BATCHSTATUS_URL)")


def test_an_answer_that_is_no_use_does_not_blame_the_address(caller, live):
    refused = caller("status", "j", "--url", f"{live.url}/nowhere")
    assert_refused(refused, 3, "404")
    assert "cannot be reached" not in refused.err


@pytest.mark.parametrize("arguments", [CREATE, LIST, ("keys", "revoke", "org_acme.0")], ids=lambda each: each[1])
def test_an_unreachable_store_is_reported(batchstatus, arguments):
    assert_refused(
        batchstatus(*arguments, "--redis-url", f"redis://{NOBODY}"), 3, "store", "(BATCHSTATUS_REDIS_URL)"
    )


@pytest.mark.parametrize("arguments", [["status", "j"], ["watch", "j"], ["failures", "j", "--csv", "-"]])
def test_a_refused_key_is_reported_but_not_printed(caller, arguments):
    refused = caller(*arguments)
    assert_refused(refused, 3, "401", "(BATCHSTATUS_API_KEY)")
    assert KEY not in refused.err


@pytest.mark.parametrize("job_id", ["unknown", "a b", "../jobs", "", ".", "%2e", "é", "x" * 65])
def test_an_unknown_job_is_reported(caller, real_store, job_id):
    key, _ = real_store.api_keys.create("org_acme", ["events:create"])
    for command in ("status", "watch", "failures"):
        assert_refused(caller(command, job_id, "--api-key", key), 3)


def test_a_store_that_does_not_answer_is_reported(batchstatus):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        assert_refused(batchstatus(*LIST, "--redis-url", url), 3, "store")


def test_a_file_that_cannot_be_written_is_named(caller, real_store):
    key, _ = real_store.api_keys.create("org_acme", ["events:create"])
    job_id = real_store.create("org_acme", "transaction_batch").job_id
    assert_refused(caller("failures", job_id, "--api-key", key, "--csv", "/nowhere/f.csv"), 2, "/nowhere/f.csv")


# Without the extras


def without(module: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command line where a module cannot be imported: in another process."""
    program = f"import sys; sys.modules[{module!r}] = None; from batchstatus.__main__ import main; main()"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("missing", ["click", "rich", "flask", "marshmallow", "gevent", "gunicorn", "orjson"])
def test_a_missing_extra_is_named(missing):
    ended = without(missing)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert missing in ended.stderr
    assert "pip install 'batchstatus[server]'" in ended.stderr


def test_a_missing_module_of_our_own_is_not_a_missing_extra():
    ended = without("batchstatus.cli")
    assert ended.returncode == 1
    assert "ModuleNotFoundError" in ended.stderr


# serve


def test_serve_prefers_options_to_the_environment(served, monkeypatch):
    monkeypatch.setenv("BATCHSTATUS_WORKERS", "5")
    monkeypatch.setenv("BATCHSTATUS_LEASE_S", "7.5")
    bind = f"127.0.0.1:{free_port()}"
    assert served("--workers", "3", "--bind", bind)[:2] == (0, "")
    (settings,) = served.with_
    assert (settings.workers, settings.bind, settings.store.lease_s) == (3, bind, 7.5)
    assert settings.redis_url == f"redis://{NOBODY}"


@pytest.mark.parametrize("command", [("reap", "--once"), ("run", "--org", "org_acme", "job", "--", "true")])
@pytest.mark.parametrize("variable", ["GRACE_S", "RETENTION_DAYS", "MIN_REPLICAS"])
def test_who_writes_beside_the_service_reads_its_variables(batchstatus, monkeypatch, command, variable):
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", f"redis://{NOBODY}")
    monkeypatch.setenv(f"BATCHSTATUS_{variable}", "-1")
    setting = variable.lower().replace("_days", "_s")
    refused = batchstatus(*command)
    assert_refused(refused, 2)
    assert setting in refused.err.replace("--", "").replace("-", "_")


@pytest.mark.parametrize(
    ("variable", "value"),
    {
        "REDIS_URL": "",
        "BIND": "nowhere",
        "WORKERS": "0",
        "LEASE_S": "nan",
        "GRACE_S": "-1",
        "RETENTION_DAYS": "long",
        "STORE_TIMEOUT_MS": "1s",
        "PREFIX": "a{b",
        "LOG_LEVEL": "loud",
    }.items(),
)
def test_a_bad_variable_stops_the_start_and_is_named(served, monkeypatch, variable, value):
    monkeypatch.setenv(f"BATCHSTATUS_{variable}", value)
    assert_refused(served(), 2, f"BATCHSTATUS_{variable}")
    assert served.with_ == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "127.0.0.1:6379", "redis://h:port", "redis://[::1"])
def test_an_invalid_store_url_stops_the_start_and_names_the_variable(served, monkeypatch, url):
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", url)
    assert_refused(served(), 2, "BATCHSTATUS_REDIS_URL")
    assert served.with_ == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_port_0_becomes_a_free_port_which_is_told(served, host):
    code, _, err = served("--bind", f"{host}:0")
    (settings,) = served.with_
    assert (code, settings.address[0]) == (0, host.strip("[]"))
    assert settings.address[1] > 0
    assert f"serves http://{settings.bind} " in err


def test_a_port_that_is_taken_stops_the_start(served):
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        assert_refused(served("--bind", bind), 2, bind, "taken")
    assert served.with_ == []


def test_the_port_of_another_batchstatus_service_stops_the_start(served, live):
    assert_refused(served("--bind", f"127.0.0.1:{live.port}"), 2, f"127.0.0.1:{live.port}", "taken")
    assert served.with_ == []
    assert live.answers("/readyz")


@pytest.mark.parametrize("bind", ["192.0.2.1:8000", "no-such-host.invalid:8000"])
def test_an_address_that_cannot_be_bound_stops_the_start(served, bind):
    assert_refused(served("--bind", bind), 2)
    assert served.with_ == []
