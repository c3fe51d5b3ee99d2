"""The house: which way imports point, how large things may get, and what belongs in one place only."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import batchstatus

ROOT = Path(batchstatus.__file__).parents[1]
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 45
MAX_SCRIPT_LINES = 60

WEB_LIBRARIES = {"marshmallow", "apispec", "prometheus_client", "pybreaker", "_typeshed"}

LAYERS: tuple[tuple[set[str], set[str]], ...] = (
    # modules (a package stands for all of its modules), and the distributions that they may import
    ({"model", "errors", "ids", "embedded_guard"}, set()),
    ({"keys", "values", "hashes", "answers", "embedded"}, set()),
    ({"settings", "rows", "client", "endings"}, set()),
    ({"clients", "trouble"}, {"redis"}),
    ({"line"}, {"redis"}),
    ({"connection"}, {"redis"}),
    ({"clock", "script", "apikeys", "tally"}, set()),
    ({"scripts"}, set()),
    ({"outbox", "looks", "history"}, set()),
    ({"reporter", "transitions", "retention"}, set()),
    ({"reader", "worker"}, set()),
    ({"listing"}, set()),
    ({"store"}, set()),
    ({"connecting", "reaper"}, set()),
    ({""}, set()),  # batchstatus/__init__.py
    ({"schemas"}, {"marshmallow"}),
    ({"web"}, {"flask", "werkzeug", "orjson", "gunicorn", "gevent", *WEB_LIBRARIES}),
    ({"app"}, set()),
    ({"cli"}, {"click", "rich"}),
    ({"__main__"}, set()),
)
"""From the bottom up: a module imports from the layers below its own, or from its own package."""

NARROWER = {
    "ids": set(),
    "tally": {"rows"},
    "outbox": {"errors", "rows", "scripts", "tally"},
    "endings": {"errors", "model", "values"},
    "clients": {"errors", "settings"},
    "trouble": {"errors"},
    "line": {"errors", "trouble"},
    "looks": {"connection", "errors", "keys", "scripts"},
    "history": {"connection", "errors", "keys", "model", "scripts"},
    "listing": {"errors", "history", "model", "reader"},
    "script": {"connection", "errors", "hashes", "model"},
    "keys": {"errors", "model"},
    "embedded": {"errors"},
    "values": {"errors", "model"},
    "rows": {"errors", "model", "values"},
    "settings": {"errors", "keys"},
    "hashes": {"errors", "model"},
    "answers": {"errors", "model"},
    "client": {"errors", "model", "answers"},
    "clock": {"connection"},
    "schemas": {"errors", "history", "model"},
    "app": {"reaper", "settings", "store", "web"},
}
"""Where the layer allows more than there is a reason for: all that these may import of ours."""

PUBLIC = {
    *("connect", "JobStore", "Run", "ApiKey", "Job", "JobFailure", "Outcome", "Kind", "Status", "TERMINAL"),
    *("BatchStatusError", "InvalidValue", "JobNotFound", "JobExists", "JobCorrupt", "InvalidTransition"),
    *("LeaseHeld", "LeaseLost", "JobCancelled", "JobAborted", "ApiKeyNotFound", "StoreUnavailable"),
    *("NotReplicated", "StoreRefused", "ReportsLost", "Action"),
}


def module_of(path: Path) -> str:
    """`web.csv`, `schemas.job`, `app`; `` for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part not in ("batchstatus", "__init__"))


CODE = [ROOT / "app.py", *ROOT.glob("batchstatus/**/*.py"), *ROOT.glob("schemas/**/*.py")]
CODE = [path for path in sorted(CODE) if "examples" not in path.parts]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
SCRIPTS = sorted(ROOT.glob("batchstatus/lua/*.lua"))
MODULES = {module_of(path): ast.parse(path.read_text()) for path in CODE}

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda name: name or "batchstatus")
each_file = pytest.mark.parametrize("path", [*CODE, *EXAMPLES], ids=lambda path: str(path.relative_to(ROOT)))


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a tree imports, those for the type checker too; `a.b` for `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module: str) -> set[str]:
    """Our modules that a module imports."""
    found = set()
    for name in imported(MODULES[module]):
        parts = name.split(".")
        if parts[0] == "batchstatus":
            parts = parts[1:]
        elif parts[0] not in ("schemas", "app"):
            continue
        while ".".join(parts) not in MODULES:
            parts.pop()
        found.add(".".join(parts))
    return found - {module}


def theirs(tree: ast.AST) -> set[str]:
    """The distributions that a tree imports, by the names of their packages."""
    roots = {name.partition(".")[0] for name in imported(tree)}
    return roots - sys.stdlib_module_names - {"batchstatus", "schemas", "app"}


def layer_of(module: str) -> int:
    """How high a module stands."""
    (level,) = (n for n, (names, _) in enumerate(LAYERS) if {module, module.partition(".")[0]} & names)
    return level


# Imports


@each_module
def test_every_module_imports_from_lower_layers_or_its_own_package(module):
    for other in ours(module):
        same_package = module.partition(".")[0] == other.partition(".")[0] and "." in module + other
        assert layer_of(other) < layer_of(module) or same_package, f"{module} imports {other}"


@each_module
def test_every_module_imports_only_the_distributions_of_its_layer(module):
    assert theirs(MODULES[module]) <= LAYERS[layer_of(module)][1]


@pytest.mark.parametrize("name", NARROWER)
def test_some_modules_import_even_less(name):
    modules = [module for module in MODULES if module == name or module.startswith(f"{name}.")]
    assert modules
    for module in modules:
        assert {other for other in ours(module) if not other.startswith(name)} <= NARROWER[name], module


def test_every_layer_stands_for_modules_that_exist():
    named = set.union(*(names for names, _ in LAYERS))
    assert named == {module if module in named else module.partition(".")[0] for module in MODULES}


def test_only_the_service_knows_the_schemas():
    knowing = {name.partition(".")[0] for name in MODULES if any(o.startswith("schemas") for o in ours(name))}
    assert knowing == {"schemas", "web"}


def test_no_imports_go_in_a_circle_not_even_for_the_type_checker():
    TopologicalSorter({module: ours(module) for module in MODULES}).prepare()  # CycleError names the circle


@each_file
def test_all_imports_stand_at_the_top_of_their_file(path):
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            assert list(imported(function)) == []


@each_module
def test_no_module_but_the_entry_point_imports_by_name(module):
    names = {"import_module", "__import__", "exec", "eval"}
    used = {node.id for node in ast.walk(MODULES[module]) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(MODULES[module]) if isinstance(node, ast.Attribute)}
    assert used & names <= ({"import_module"} if module == "__main__" else set())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_use_what_is_public_and_the_standard_library(path):
    tree = ast.parse(path.read_text())
    assert theirs(tree) <= {example.stem for example in EXAMPLES}
    of_ours = {name for name in imported(tree) if name.startswith("batchstatus")}
    assert of_ours <= {"batchstatus", *(f"batchstatus.{name}" for name in PUBLIC)}


def test_importing_the_package_loads_nothing_of_the_service_or_the_command_line():
    unwanted = ["flask", "werkzeug", "marshmallow", "orjson", "gunicorn", "gevent", "click", "rich", "schemas"]
    look = "import sys, batchstatus; print({name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(run.stdout)
    assert {"batchstatus", "redis"} <= loaded
    assert not loaded & set(unwanted)


def test_the_public_names_are_these():
    assert set(batchstatus.__all__) == PUBLIC
    assert all(hasattr(batchstatus, name) for name in PUBLIC)


# Sizes


@each_file
def test_no_module_is_too_long(path):
    assert path.read_text().count("\n") <= MAX_MODULE_LINES


@each_file
def test_no_function_is_too_long(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_is_too_long(path):
    assert path.read_text().count("\n") <= MAX_SCRIPT_LINES


# What belongs in one place


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_only_keys_spells_a_key():
    part_of_a_key = re.compile(r":(failures|skips|apikeys?)\b|:\{")
    spelling = {module for module, tree in MODULES.items() if any(map(part_of_a_key.search, texts(tree)))}
    assert spelling == {"keys"}


def test_only_settings_reads_the_environment():
    reading = re.compile(r"os\.(?:getenv|environb?(?:\[|\.get|\.pop|\.setdefault))\(?[^])]*|from os import .*env")
    found = {(module_of(path), each) for path in CODE for each in reading.findall(path.read_text())}
    # prometheus-client can be told its directory in no other way.
    directory = {"os.environ[DIRECTORY_VARIABLE", 'os.environ.get(DIRECTORY_VARIABLE, ""'}
    assert found == {("web.metrics", each) for each in directory}
    assert 'DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"\n' in (ROOT / "batchstatus/web/metrics.py").read_text()
    passing_on = {module_of(path) for path in CODE if "os.environ" in path.read_text()}
    assert passing_on == {"settings", "cli.serve", "cli.stage", "embedded_guard", "web.metrics"}


def test_only_the_connection_talks_to_redis_and_only_it_catches_its_errors():
    assert {module for module, tree in MODULES.items() if "redis" in theirs(tree)} == {
        *("clients", "connection", "line", "trouble")
    }
    # A connection of ours has a pipeline of its own, and the client of a Cluster asks one thing when it opens.
    sending = re.compile(r"(?<!_connection)(?<!self)\.(execute_command|pipeline|eval|evalsha|register_script)\(")
    assert {module_of(path) for path in CODE if sending.search(path.read_text())} == {"connection"}
    asking = re.compile(r"\bself\.execute_command\(")
    assert {module_of(path) for path in CODE if asking.search(path.read_text())} == {"clients"}
