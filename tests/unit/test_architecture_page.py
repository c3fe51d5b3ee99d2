"""docs/architecture.md draws the rooms as they are, and names modules and functions that exist."""

import ast
import re
from pathlib import Path

import pytest

from tests.unit.test_architecture import LIBRARIES, ROOMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL))
PATHS = sorted({path for each in CODE if re.fullmatch(r"[\w/]+(?:\.py|\.lua|/)", path := each.partition("::")[0])})
NAMES = sorted(each for each in CODE if "::" in each and not each.startswith("path::"))
OTHER_NAMES = {"app.py": "app", "web_server": "web.server", "main": "__main__"}


def place_of(path: str) -> Path:
    """Where a path of the page is: below the package, else below the root."""
    return ROOT / path if (ROOT / path).exists() else ROOT / "batchstatus" / path


def names_in(body: list[ast.stmt]) -> set[str]:
    """The classes, functions and values that statements define; methods as `Class.method`."""
    found = set()
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= {node.name, *(f"{node.name}.{name}" for name in names_in(node.body))}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {
                each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)
            }
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def drawn() -> dict[str, set[str]]:
    """The picture: each room, and those that its arrows lead to."""
    arrows = re.findall(r"^    (\w+)(?:\[[^\]]*\])? --> (\w+)", PAGE, re.MULTILINE)
    rooms: dict[str, set[str]] = {}
    for room, below in arrows:
        rooms.setdefault(OTHER_NAMES.get(room, room), set()).add(OTHER_NAMES.get(below, below))
    return rooms


def reached(room: str, arrows: dict[str, set[str]]) -> set[str]:
    """The rooms that arrows lead to from a room, directly or through others."""
    below = arrows.get(room, set())
    return below.union(*(reached(each, arrows) for each in below))


def test_every_arrow_of_the_picture_is_allowed() -> None:
    assert {room: below - ROOMS[room] for room, below in drawn().items() if below - ROOMS[room]} == {}


def test_every_import_that_is_allowed_is_in_the_picture_or_follows_from_it() -> None:
    arrows = drawn()
    assert {room: left for room, below in ROOMS.items() if (left := below - reached(room, arrows))} == {}


def test_the_picture_has_no_arrow_that_follows_from_the_others() -> None:
    arrows = drawn()
    for room, below in arrows.items():
        through_others = set().union(*(reached(each, arrows) for each in below))
        assert below & through_others == set(), room


def test_every_room_is_in_the_table_with_its_libraries() -> None:
    rows = re.findall(r"^\| `?([\w/]+?)/?`? \| [^|]+ \| ([^|]*) \| `", PAGE, re.MULTILINE)
    listed = {room.replace("/", "."): set(re.findall(r"[\w-]+", libraries)) - {"none"} for room, libraries in rows}
    assert listed.keys() == ROOMS.keys() - {"app", "__main__"}
    for room, libraries in listed.items():
        assert {name.replace("-", "_") for name in libraries} <= LIBRARIES.get(room, set()), room
        assert bool(libraries) == bool(LIBRARIES.get(room)), room


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_the_page_names_exists(path: str) -> None:
    assert place_of(path).is_dir() if path.endswith("/") else place_of(path).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_where_the_page_says(name: str) -> None:
    path, _, inside = name.partition("::")
    assert inside in names_in(ast.parse(place_of(path).read_text()).body)


def test_the_page_names_many_places() -> None:
    assert len(PATHS) > 40
    assert len(NAMES) > 40
