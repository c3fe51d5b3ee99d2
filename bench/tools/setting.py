"""What every question is measured with: a store of its own, a service on it, and what an answer costs."""

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
    """What answers cost: CPU time of the server for each, and percentiles of the time that they took."""

    cpu_us: float
    p99_ms: float
    p999_ms: float


@dataclass(frozen=True)
class Setting:
    """An empty store for one question, its URL, a Python that has the peers, and the scale."""

    store: JobStore
    url: str
    peers_python: str
    quick: bool
    org: str = ORG

    def scaled(self, full: _T, quick: _T) -> _T:
        """What is for the scale of this run."""
        return quick if self.quick else full

    @cached_property
    def api_key(self) -> str:
        """A key that reads the jobs of `org`."""
        return self.store.api_keys.create(self.org, ["transactions:create"])[0]

    def serve(self, command: Sequence[str] = SERVE, **environment: str) -> Served:
        """A server on the store, `batchstatus serve` with two workers unless another is given; enter it."""
        return Served([*command], {"BATCHSTATUS_REDIS_URL": self.url, **environment})

    def request(self, path: str, *headers: str) -> str:
        """A GET as it goes over the wire."""
        lines = [f"GET {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {self.api_key}", *headers]
        return "\r\n".join([*lines, "", ""])


def cost(served: Served, requests: Sequence[str], total: int, connections: int = 16, status: int = 200) -> Cost:
    """Have `total` requests answered, round robin from `requests`, after some to warm up."""
    _load(served, requests, max(connections, total // 10), connections, status)
    before_s = served.cpu_s()
    figures = _load(served, requests, total, connections, status)
    cpu_us = (served.cpu_s() - before_s) / figures["requests"] * 1e6
    return Cost(cpu_us, figures["p99_ms"], figures["p999_ms"])


def typical(rounds: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*map(median, zip(*rounds, strict=True)))


def _load(served: Served, requests: Sequence[str], total: int, connections: int, status: int) -> dict[str, float]:
    options = {"port": served.port, "connections": connections, "total": total, "status": status}
    command = [sys.executable, str(TOOLS / "load.py"), *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, input=json.dumps(requests).encode(), stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
