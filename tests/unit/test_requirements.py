"""The requirements: what is imported is declared, and the files in requirements/ follow pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import batchstatus

ROOT = Path(batchstatus.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = ["server", "dev", "lowest"]
EXTRAS = ("server", "demo", "celery", "dramatiq", "rq")
OURS = {"batchstatus", "bench", "examples", "schemas", "tests", "app"}

each_file = pytest.mark.parametrize("name", FILES)


def declared(*, extras: tuple[str, ...] = (), group: str = "") -> list[Requirement]:
    """Returns the requirements of the base install, of extras, and of a dependency group."""
    of_extras = [each for extra in extras for each in PROJECT["project"]["optional-dependencies"][extra]]
    found = [Requirement(each) for each in [*PROJECT["project"]["dependencies"], *of_extras]]
    for each in PROJECT["dependency-groups"].get(group, []):
        if isinstance(each, dict):
            found += declared(group=each["include-group"])
        else:
            found.append(Requirement(each))
    return [each for each in found if each.name != "batchstatus"]


def pinned(name: str) -> set[tuple[str, str]]:
    """Returns names and versions in a file of requirements/. A name has two versions where Pythons need two."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return set(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def versions_in(name: str, requirement: Requirement) -> list[str]:
    """Returns the versions that a file of requirements/ has of what is required."""
    return [version for each, version in pinned(name) if each == canonicalize_name(requirement.name)]


def imported(path: Path) -> set[str]:
    """Returns the top-level packages that a module imports, the standard library's and ours left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names) - OURS


# What is imported


@pytest.mark.parametrize(("folder", "extras", "group"), [("batchstatus", EXTRAS, ""), ("tests", EXTRAS, "dev")])
def test_everything_that_is_imported_is_declared(folder, extras, group):
    names = {canonicalize_name(each.name) for each in declared(extras=extras, group=group)}
    distributions = packages_distributions()
    used = {name for path in ROOT.glob(f"{folder}/**/*.py") for name in imported(path)}
    assert used >= {"redis", "flask"}
    # A namespace package such as opentelemetry comes from several distributions; one that is declared will do.
    undeclared = {
        name
        for name in used
        if name in distributions and not {canonicalize_name(each) for each in distributions[name]} & names
    }
    assert undeclared == set()


# The files in requirements/


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("server", declared(extras=("server",))),
        ("dev", declared(extras=EXTRAS, group="dev")),
        ("lowest", declared(extras=EXTRAS, group="test")),
    ],
    ids=FILES,
)
def test_each_file_has_an_allowed_version_of_every_requirement(name, requirements):
    wrong = [
        str(each)
        for each in requirements
        if not (found := versions_in(name, each)) or [*each.specifier.filter(found, prereleases=True)] != found
    ]
    assert wrong == [], "run `make lock`"


def test_the_image_and_the_tests_use_the_same_versions():
    assert pinned("server") <= pinned("dev")


def test_the_lowest_versions_are_the_lower_bounds():
    requirements = declared(extras=EXTRAS, group="test")
    bounds = [
        (each, bound.version)
        for each in requirements
        for bound in each.specifier
        if bound.operator in (">=", "==")
    ]
    assert len(bounds) > 20
    wrong = [
        (each.name, bound)
        for each, bound in bounds
        if [Version(found) for found in versions_in("lowest", each)] != [Version(bound)]
    ]
    assert wrong == [], "run `make lock`"


@each_file
def test_every_version_has_hashes(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@each_file
def test_no_file_names_an_index_or_a_place_on_a_machine(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert re.findall(r"://|--(?:extra-)?index|--find-links|(?:^|\s)/\w+", text) == []
