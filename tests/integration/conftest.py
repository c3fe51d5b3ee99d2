"""The wheel, for the tests of what is in it and of what an installation of it does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed import ROOT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `pip install .` builds it from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True)
    (made,) = folder.iterdir()
    return made
