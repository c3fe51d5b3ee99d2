"""The health check of the image, run as the Dockerfile has it, against real services."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_sidecar import Sidecar
from tests.support.ports import free_port
from tests.support.service import LiveService

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def is_healthy(bind: str) -> bool:
    """Run the health check of a service that listens there. Returns True if it succeeds."""
    (found,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[(?:.*\\\n)*.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    python, *arguments = ast.literal_eval(found.replace("\\\n", ""))
    assert python == "python"
    environment = {**os.environ, "BATCHSTATUS_BIND": bind}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, timeout=30, check=False
    )
    assert b"SyntaxError" not in done.stderr
    return done.returncode == 0


def test_a_service_on_a_port_is_healthy_even_while_the_store_is_away() -> None:
    with LiveService(f"redis://127.0.0.1:{free_port()}/0", wait_for="/livez") as service:
        assert not service.answers("/readyz")
        assert is_healthy(f"0.0.0.0:{service.port}")
        assert is_healthy(f"127.0.0.1:{service.port}")
    assert not is_healthy(f"0.0.0.0:{service.port}")


def test_a_service_on_a_unix_socket_is_healthy(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "x.sock"
    with Sidecar(redis_url, path):
        assert is_healthy(f"unix:{path}")
    assert not is_healthy(f"unix:{path}")
