"""The setting of every question, a store with a service on it, and the cost of an answer."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

from batchstatus import JobStore
from bench.tools.processes import Served

ORG = "org_bench"
KIND = "transaction_batch"
ROW = {"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "amount: 'abc' is no number"}
SERVE = [sys.executable, "-m", "batchstatus", "serve"]
TOOLS = Path(__file__).parent
PEERS = TOOLS.parent / "peers"
EXAMPLES = TOOLS.parents[1] / "examples"

_T = TypeVar("_T")


class Cost(NamedTuple):
    """The cost of answers: CPU time of the server per answer, and percentiles of the latency."""

    cpu_us: float
    p99_ms: float
    p999_ms: float


@dataclass(frozen=True)
class Setting:
    """An empty store for one question, its URL, a Python with the peers installed, and the scale."""

    store: JobStore
    url: str
    peers_python: str
    quick: bool
    org: str = ORG

    def scaled(self, full: _T, quick: _T) -> _T:
        """Returns the value for the scale of this run."""
        return quick if self.quick else full

    @cached_property
    def api_key(self) -> str:
        """An API key that reads the jobs of `org`."""
        return self.store.api_keys.create(self.org, ["transactions:create"])[0]

    def serve(self, command: Sequence[str] = SERVE, **environment: str) -> Served:
        """Returns a server on the store as a context manager, by default `batchstatus serve` with 2 processes."""
        return Served([*command], {"BATCHSTATUS_REDIS_URL": self.url, **environment})

    def request(self, path: str, *headers: str) -> str:
        """Returns the text of a GET request."""
        lines = [f"GET {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {self.api_key}", *headers]
        return "\r\n".join([*lines, "", ""])


def cost(served: Served, requests: Sequence[str], total: int, connections: int = 16, status: int = 200) -> Cost:
    """Returns the cost of `total` requests, taken from `requests` in turn, after a tenth as many to warm up."""
    _load(served, requests, max(connections, total // 10), connections, status)
    before_s = served.cpu_s()
    figures = _load(served, requests, total, connections, status)
    cpu_us = (served.cpu_s() - before_s) / figures["requests"] * 1e6
    return Cost(cpu_us, figures["p99_ms"], figures["p999_ms"])


def typical(rounds: Sequence[Cost]) -> Cost:
    """Returns the median of each figure."""
    return Cost(*map(median, zip(*rounds, strict=True)))


def _load(served: Served, requests: Sequence[str], total: int, connections: int, status: int) -> dict[str, float]:
    options = {"port": served.port, "connections": connections, "total": total, "status": status}
    command = [sys.executable, str(TOOLS / "load.py"), *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, input=json.dumps(requests).encode(), stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
