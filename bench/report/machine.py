"""Facts about a run: the machine, and the versions of all software involved."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import redis

from batchstatus.embedded import EmbeddedServer

OURS = ("redis", "hiredis", "flask", "werkzeug", "marshmallow", "orjson", "gunicorn", "gevent", "greenlet")
PEERS = (
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "uvloop",
    "redis",
    "celery",
    "flower",
    "rq",
    "rq-dashboard",
)

_ASK = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def facts(peers_python: str) -> Mapping[str, str]:
    """Returns the facts by name."""
    peers = json.loads(subprocess.check_output([peers_python, "-c", _ASK, *PEERS]))
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "Python": platform.python_version(),
        "store": _store(),
        "the service's": ", ".join(f"{name} {version(name)}" for name in OURS),
        "the peers'": ", ".join(f"{name} {number}" for name, number in peers.items()),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _store() -> str:
    with EmbeddedServer() as server:
        info = redis.Redis.from_url(server.url).info("server")
    name = info.get("server_name", "redis")
    return f"{name.capitalize()} {info.get(f'{name}_version')}, embedded, nothing written to disk"


def _commit() -> str:
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
