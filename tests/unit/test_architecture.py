"""The house: which way imports point, how large things may get, and what belongs in one place only.

A room is a folder of the package. The modules at its root are rooms too: the settings, `__main__`, and the faces,
which users of the package import.
"""

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
MAX_SCRIPT_LINES = 50
"""Of code: a script's head, which describes it, is not counted."""
MAX_MODULES = {
    "batchstatus/transport": 11,
    "batchstatus/web": 18,
    "batchstatus/web/views": 15,
    "batchstatus/cli": 11,
}
"""How many modules a folder may have, the faces not counted: 10 where nothing is said here.

The command line has one a group of commands, the transport one a way to ask a store.
"""

FACES = {"", "store", "apikeys", "tickets", "connecting", "reaper", "running", "erasure"}

ROOMS: dict[str, set[str]] = {
    "model": set(),
    "settings": {"model"},
    "embedded": {"model"},
    "schemas": {"model"},
    "worker": {"model", "settings"},
    "client": {"model", "settings", "worker"},
    "transport": {"model", "settings"},
    "protocol": {"model", "settings", "transport"},
    "jobs": {"model", "settings", "transport", "protocol"},
    "webhooks": {"model", "settings", "transport", "protocol", "jobs"},
    "faces": {"model", "settings", "transport", "protocol", "jobs", "worker", "webhooks"},
    "integrations": {"model", "worker", "faces"},
    "doctor": {"model", "settings", "transport"},
    "conformance": {"model", "faces", "embedded"},
    "web": {"model", "settings", "faces", "schemas", "webhooks"},
    "web.server": {"model", "settings", "faces", "transport", "web"},
    "cli": {
        *("model", "settings", "faces", "worker", "doctor", "client", "embedded", "web", "web.server", "webhooks"),
    },
    "app": {"model", "settings", "faces", "web"},
    "__main__": {"cli"},
}
"""Each room, and those that it may import from. None imports from one that stands below it here."""

LIBRARIES: dict[str, set[str]] = {
    "transport": {"redis"},
    "doctor": {"redis"},
    "schemas": {"marshmallow"},
    "integrations": {"celery", "dramatiq", "rq"},
    "webhooks": {"standardwebhooks"},
    "web": {
        *("flask", "werkzeug", "marshmallow", "orjson", "apispec", "prometheus_client"),
    },
    "web.server": {"gevent", "gunicorn", "orjson"},
    "cli": {"click", "rich"},
}
"""The distributions that a room may import; the others, none."""

PUBLIC = {
    *(
        "connect",
        "JobStore",
        "Run",
        "AsyncRun",
        "ApiKey",
        "Job",
        "JobFailure",
        "Outcome",
        "Part",
        "Page",
        "Progress",
        "Ticket",
        "Kind",
        "Status",
        "TERMINAL",
    ),
    *("BatchStatusError", "InvalidValue", "JobNotFound", "JobExists", "JobCorrupt", "InvalidTransition"),
    *("LeaseHeld", "LeaseLost", "JobCancelled", "JobAborted", "ApiKeyNotFound", "StoreUnavailable"),
    *("NotReplicated", "StoreRefused", "ReportsLost", "RowsLost", "JobEnded", "Action", "JobKind"),
}


def module_of(path: Path) -> str:
    """`web.views.csv`, `schemas.job`, `app`; `` for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part not in ("batchstatus", "__init__"))


def room_of(module: str) -> str:
    """The room that a module is in."""
    if module in FACES:
        return "faces"
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


CODE = [ROOT / "app.py", *ROOT.glob("batchstatus/**/*.py"), *ROOT.glob("batchstatus/schemas/*.py")]
CODE = sorted({path for path in CODE if "examples" not in path.parts})
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
SCRIPTS = sorted(ROOT.glob("batchstatus/protocol/lua/**/*.lua"))
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
        if parts[0] not in ("batchstatus", "app"):
            continue
        if parts[0] == "batchstatus":
            parts = parts[1:]
        while ".".join(parts) not in MODULES:
            parts.pop()
        found.add(".".join(parts))
    return found - {module}


def theirs(tree: ast.AST) -> set[str]:
    """The distributions that a tree imports, by the names of their packages."""
    roots = {name.partition(".")[0] for name in imported(tree)}
    return roots - sys.stdlib_module_names - {"batchstatus", "app"}


# Imports


@each_module
def test_every_module_imports_from_its_own_room_and_those_below(module):
    room = room_of(module)
    for other in ours(module):
        assert room_of(other) in ROOMS[room] | {room}, f"{module} imports {other}"


def test_no_room_imports_from_one_above():
    order = list(ROOMS)
    assert all(order.index(other) < order.index(room) for room, below in ROOMS.items() for other in below)


@each_module
def test_every_module_imports_only_the_distributions_of_its_room(module):
    # `model`, `settings` and `faces` name no library, and so need the standard one alone.
    assert theirs(MODULES[module]) <= LIBRARIES.get(room_of(module), set())


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


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after a statement."""
    look = f"import sys; {statement}; print({{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(run.stdout)


def test_importing_the_package_loads_nothing_of_the_service_or_the_command_line():
    loaded = loaded_by("import batchstatus")
    assert {"batchstatus", "redis"} <= loaded
    assert not loaded & {"flask", "werkzeug", "marshmallow", "orjson", "gunicorn", "gevent", "click", "rich"}


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
    head, code = path.read_text().split("\n\n", 1)
    assert all(line.startswith("--") for line in head.splitlines())
    assert code.count("\n") <= MAX_SCRIPT_LINES


def test_no_folder_has_too_many_modules():
    inside = [
        path for path in CODE if path.name != "__init__.py" and module_of(path) not in FACES | {"__main__", "app"}
    ]
    folders = [str(path.parent.relative_to(ROOT)) for path in inside]
    assert {name: n for name in folders if (n := folders.count(name)) > MAX_MODULES.get(name, 10)} == {}


# What belongs in one place


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_only_keys_spells_a_key():
    part_of_a_key = re.compile(r":(failures|skips|apikeys?|tickets?)\b|:\{")
    spelling = {module for module, tree in MODULES.items() if any(map(part_of_a_key.search, texts(tree)))}
    assert spelling == {"model.keys"}


def test_only_settings_reads_the_environment():
    reading = re.compile(r"os\.(?:getenv|environb?(?:\[|\.get|\.pop|\.setdefault))\(?[^])]*|from os import .*env")
    found = {(module_of(path), each) for path in CODE for each in reading.findall(path.read_text())}
    # prometheus-client can be told its directory in no other way.
    directory = {"os.environ[DIRECTORY_VARIABLE", 'os.environ.get(DIRECTORY_VARIABLE, ""'}
    assert found == {("web.metrics", each) for each in directory}
    assert 'DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"\n' in (ROOT / "batchstatus/web/metrics.py").read_text()
    passing_on = {module_of(path) for path in CODE if "os.environ" in path.read_text()}
    assert passing_on == {
        *("settings", "cli.serve", "cli.demonstration.stage", "embedded.guard", "web.metrics", "worker.program"),
        "conformance.scene",
    }


def test_only_the_connection_talks_to_redis_and_only_it_catches_its_errors():
    assert {module for module, tree in MODULES.items() if "redis" in theirs(tree)} == {
        *("transport.urls", "transport.opened", "transport.connection", "transport.line", "transport.trouble"),
        *("transport.redis_py", "transport.together", "transport.primaries", "doctor.servers"),
    }
    # A connection of ours has a pipeline of its own; a Sentinel, and the client of a Cluster that opens, are asked
    # one thing each.
    sending = re.compile(r"(?<!_connection)(?<!self)\.(execute_command|pipeline|eval|evalsha|register_script)\(")
    assert {module_of(path) for path in CODE if sending.search(path.read_text())} == {
        *("transport.connection", "transport.primaries", "transport.redis_py", "doctor.servers")
    }
    asking = re.compile(r"\bself\.execute_command\(")
    assert {module_of(path) for path in CODE if asking.search(path.read_text())} == {"transport.urls"}
