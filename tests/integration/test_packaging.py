"""What is in the wheel, however it is built: from the checkout, from the sdist, in the image's build."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import batchstatus
from tests.support.installed import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def held_by(wheel: Path) -> set[str]:
    """Returns the names of the files that the wheel installs, its metadata left out."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def build(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def test_the_wheel_holds_the_code_the_scripts_the_types_and_the_importers_and_nothing_else(wheel):
    # `schemas/` is a link in the package, and `**` follows none.
    code = [*ROOT.glob("batchstatus/**/*.py"), *ROOT.glob("batchstatus/schemas/*.py")]
    scripts = [*ROOT.glob("batchstatus/**/*.lua"), ROOT / "batchstatus" / "py.typed"]
    scripts += ROOT.glob("batchstatus/protocol/*.json")
    pages = [*ROOT.glob("batchstatus/ui/*.*")]
    importers = {f"batchstatus/examples/{path.name}" for path in ROOT.glob("examples/*.py")}
    held = held_by(wheel)
    assert held == {str(path.relative_to(ROOT)) for path in [*code, *scripts, *pages]} | importers
    assert {"batchstatus/protocol/lua/report.lua", "batchstatus/webhooks/lua/note.lua"} <= held
    assert {"batchstatus/py.typed", "batchstatus/schemas/job.py"} <= held
    assert {"batchstatus/ui/job.html", "batchstatus/ui/job.js", "batchstatus/ui/style.css"} <= held
    assert "batchstatus/examples/import_transactions.py" in held


def test_the_wheel_installs_one_top_level_package(wheel):
    assert {name.partition("/")[0] for name in held_by(wheel)} == {"batchstatus"}


def test_the_wheel_has_its_licence_its_command_and_the_version_of_the_package(wheel):
    assert wheel.name.startswith(f"batchstatus-{batchstatus.__version__}-py3-none-any")
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "batchstatus = batchstatus.__main__:main" in archive.read(entry_points).decode()
        assert [name for name in archive.namelist() if name.endswith("/LICENSE")]


def test_the_wheel_from_the_sdist_holds_what_the_wheel_from_the_checkout_holds(wheel, tmp_path):
    build("build", "--outdir", tmp_path, ROOT)  # the sdist first, then the wheel from the sdist
    (from_sdist,) = tmp_path.glob("*.whl")
    assert held_by(from_sdist) == held_by(wheel)


def test_the_sdist_holds_the_root_as_the_checkout_has_it(tmp_path):
    build("build", "--sdist", "--outdir", tmp_path, ROOT)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / sdist.name.removesuffix(".tar.gz")
    for name in ("app.py", "Makefile", "requirements/dev.txt", "tests/conftest.py", "schemas/job.py"):
        assert (root / name).is_file(), name
    assert not (root / "dist").exists()


def copy_as_docker_does(name: str, context: Path) -> None:
    """Copy a file or folder of the checkout into the context of the image's build; links stay links."""
    (context / name).parent.mkdir(parents=True, exist_ok=True)
    if (ROOT / name).is_dir():
        shutil.copytree(ROOT / name, context / name, symlinks=True)
    else:
        shutil.copy2(ROOT / name, context / name)


def test_the_context_of_the_image_is_enough_to_build_the_wheel(wheel, tmp_path):
    context, made = tmp_path / "context", tmp_path / "made"
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            copy_as_docker_does(line.removeprefix("!"), context)
    assert (context / "requirements" / "server.txt").is_file()
    build("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made, context)
    (from_context,) = made.iterdir()
    assert held_by(from_context) == held_by(wheel)
