"""Virtual environments with an installed batchstatus, for each Python that the machine has."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import batchstatus
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(batchstatus.__file__).parents[1]
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
PYTHONS = [each.rpartition(" ")[2] for each in CLASSIFIERS if re.search(r":: Python :: 3\.\d+$", each)]
"""The versions of Python that the project supports."""


def python_of(version: str) -> str | None:
    """Returns the path of a `python3.N` on PATH or of pyenv; None if the machine has none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    # pyenv's own first: what it puts on PATH for a version that is not selected only prints an error.
    folders = [*map(str, pyenv.glob(f"versions/{version}.*/bin")), os.environ["PATH"]]
    return shutil.which(f"python{version}", path=os.pathsep.join(folders))


class Installed:
    """A virtual environment with the given requirements alone. The checkout is not on its path."""

    def __init__(self, folder: Path, *requirements: str, python: str = sys.executable) -> None:
        self.folder = folder
        subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.pip("install", "--quiet", *requirements)

    def pip(self, *arguments: str) -> str:
        """Returns the output of this Python's pip, run on the environment."""
        pip = [sys.executable, "-m", "pip", "--python", *self.command("python"), *arguments]
        return subprocess.run(pip, capture_output=True, text=True, check=True).stdout

    def command(self, name: str, *arguments: str) -> list[str]:
        """Returns the command line of a script of the environment."""
        return [str(self.folder / "bin" / name), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Returns the variables of this process without those that would let the checkout in."""
        hidden = ("PYTHON", "BATCHSTATUS_", "COV_", "COVERAGE")
        return {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | more

    def run(
        self, name: str, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script of the environment to its end."""
        return subprocess.run(
            self.command(name, *arguments),
            cwd=cwd or self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @contextmanager
    def serving(self, redis_url: str, cwd: Path | None = None) -> Iterator[str]:
        """Run `batchstatus serve`, started in the folder `cwd`; gives its URL once it answers."""
        bind = f"127.0.0.1:{free_port()}"
        options = ("--redis-url", redis_url, "--bind", bind)
        service = subprocess.Popen(
            self.command("batchstatus", "serve", *options), cwd=cwd or self.folder, env=self.environment()
        )
        try:
            wait_until(lambda: service.poll() is not None or answer(f"http://{bind}/readyz"), 60, "it answers")
            assert service.poll() is None, "the service has ended"
            yield f"http://{bind}"
        finally:
            service.terminate()
            service.wait(30)


def answer(url: str, key: str = "") -> Any:
    """Returns the JSON that a GET gives; None if nobody answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except OSError:
        return None
