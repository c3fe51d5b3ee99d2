"""The demo's stage: a real Valkey, the service and importers as processes, all ended on leaving the stage."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from batchstatus.connecting import connect
from batchstatus.embedded.encrypted import encrypted_server, make_certificates, tls_binary
from batchstatus.embedded.server import EmbeddedServer
from batchstatus.model.errors import InvalidValue, ServiceUnavailable
from batchstatus.model.job import Kind
from batchstatus.settings import KINDS_VARIABLE
from batchstatus.store import JobStore
from batchstatus.tickets import LONGEST_S

ORG = "org_demo"
LEASE_S = 2.0
START_S = 60.0
"""Time limit for the service's start. On a busy machine Python alone may need 20 s to load it."""

IMPORTERS = {
    Kind.TRANSACTION_BATCH: ("import_transactions.py", "transactions.csv"),
    Kind.ENTITY_AUTOMATIC: ("import_entities.py", "entities.csv"),
    Kind.USER_EVENT_BATCH: ("import_user_events.py", "user_events.csv"),
}
"""For each kind, its importer in `examples/` and the sample file for that importer."""
PARTS_IMPORTER = "import_in_parts.py"


class Stage:
    """The processes of the demo, as a context manager. All of them listen on free loopback ports."""

    store: JobStore
    url: str
    api_key: str
    link: str

    def __init__(self, *, tls: bool = False) -> None:
        self._tls = tls
        self._exits = ExitStack()
        self._examples = _examples()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self.directory = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="batchstatus-demo-")))
            self.redis_url = self._start_redis(started)
            self.store = connect(self.redis_url, lease_s=LEASE_S, kinds=Kind)
            started.callback(self.store.close)
            self.api_key, _ = self.store.api_keys.create(ORG, ["transactions:create"], name="demo")
            self.url = f"http://127.0.0.1:{_free_port()}"
            ticket, _ = self.store.tickets.create(ORG, expires_in_s=LONGEST_S)
            self.link = f"{self.url}/ui/#ticket={ticket}"
            self._exits = started.pop_all()
        try:
            self._serve()
            self._find_samples()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def sample(self, kind: Kind) -> Path:
        """Returns the sample file of a kind."""
        return self.samples / IMPORTERS[kind][1]

    def database(self, job_id: str) -> Path:
        """Returns the SQLite file that a job's import writes to."""
        return self.directory / f"{job_id}.sqlite"

    def start_import(
        self, kind: Kind, file: Path, job_id: str, *, rate: float, entities: bool = True, wait_s: float = 0
    ) -> subprocess.Popen[bytes]:
        """Start the kind's importer on a file, for an existing job."""
        known = entities and kind != Kind.ENTITY_AUTOMATIC
        options = {"--entities": self.sample(Kind.ENTITY_AUTOMATIC)} if known else {}
        return self._import(IMPORTERS[kind][0], file, job_id, options, rate, wait_s)

    def start_part(
        self, file: Path, job_id: str, part: int, *, rate: float, wait_s: float = 0
    ) -> subprocess.Popen[bytes]:
        """Start the import of one part of a file, for an existing job that is split."""
        return self._import(PARTS_IMPORTER, file, job_id, {"--part": part}, rate, wait_s)

    def _import(
        self, script: str, file: Path, job_id: str, options: Mapping[str, object], rate: float, wait_s: float
    ) -> subprocess.Popen[bytes]:
        """Start an importer with its own options and those that all have."""
        given = {
            "--org": ORG,
            "--job": job_id,
            "--database": self.database(job_id),
            "--redis-url": self.redis_url,
            "--lease-s": LEASE_S,
            "--wait-s": wait_s,
            "--rate": rate,
            **options,
        }
        words = [str(word) for option in given.items() for word in option]
        return self._start(f"import-{job_id}", [sys.executable, str(self._examples / script), str(file), *words])

    def is_watched(self) -> bool:
        """Returns True once somebody has opened the page."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own http address
            return b'route="/batch-import/caller"' in answer.read()

    def log(self, name: str) -> str:
        """Returns the last lines that a process printed."""
        return "\n".join((self.directory / f"{name}.log").read_text(errors="replace").splitlines()[-5:])

    def _start_redis(self, started: ExitStack) -> str:
        """Start the server, with TLS if that is asked for. Returns its URL."""
        if not self._tls:
            return started.enter_context(EmbeddedServer()).url
        certificates = make_certificates(self.directory)
        _, url = started.enter_context(encrypted_server(certificates, tls_binary(certificates)))
        return url

    def _serve(self) -> None:
        bind = self.url.removeprefix("http://")
        environment = {"BATCHSTATUS_REDIS_URL": self.redis_url, "BATCHSTATUS_BIND": bind}
        process = self._start("serve", [sys.executable, "-m", "batchstatus", "serve"], environment)
        deadline = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < deadline:
            if _answers(f"{self.url}/readyz"):
                return
            time.sleep(0.05)
        raise ServiceUnavailable(f"the service did not start: {self.log('serve')}")

    def _find_samples(self) -> None:
        """Find the sample files of a checkout; an installed package has none and generates them."""
        self.samples = self._examples / "samples"
        if not self.sample(Kind.TRANSACTION_BATCH).exists():
            self.samples = self.directory / "samples"
            maker = [sys.executable, str(self._examples / "make_samples.py"), "--out", str(self.samples)]
            subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)

    def _start(
        self, name: str, command: list[str], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        # The demo imports the published kinds, whatever the shell declares. And all files go with the demo: a
        # process that has to be killed leaves its own behind.
        inherited = {name: value for name, value in os.environ.items() if name != KINDS_VARIABLE}
        inherited["TMPDIR"] = str(self.directory)
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**inherited, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._exits.callback(_end, process)
        return process


def _examples() -> Path:
    package = Path(__file__).resolve().parents[2]
    for place in (package.parent / "examples", package / "examples"):
        if (place / "import_transactions.py").exists():
            return place
    raise InvalidValue("the demo's importers are not installed; run it from a checkout: make demo")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with SIGTERM; after 5 s, kill the process and its children."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
