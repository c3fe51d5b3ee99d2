"""docs/http.md and docs/command-line.md list the routes, errors, commands and options that exist, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from batchstatus.cli import commands
from batchstatus.cli.options import STORE_OPTIONS
from batchstatus.model.kinds import PUBLISHED
from batchstatus.web.views.describing import ERRORS
from batchstatus.web.views.openapi import document

DOCS = Path(__file__).parents[2] / "docs"
HTTP, COMMAND_LINE = (DOCS / "http.md").read_text(), (DOCS / "command-line.md").read_text()
PATHS = document(PUBLISHED)["paths"]


def rows_below(page: str, heading: str, first: str = "") -> list[list[str]]:
    """The rows of the first table below a heading, or of the first whose head begins so, without the head."""
    table = re.search(rf"^\| {first}.*\|\n(?:^\|.*\|\n)+", page.partition(f"\n## {heading}\n")[2], re.MULTILINE)
    assert table
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table[0].splitlines()[2:]]


def paths_listed() -> set[str]:
    """The paths in the table of routes, without their queries."""
    cells = " ".join(row[0] for row in rows_below(HTTP, "Routes"))
    return {path.partition("?")[0] for path in re.findall(r"(?:GET|POST)? ?(/[^`\s]+)", cells)}


def test_every_path_that_the_http_page_lists_exists() -> None:
    assert paths_listed() <= PATHS.keys()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_on_the_http_page(path: str) -> None:
    routes = [row[-1].strip("`") for row in rows_below(HTTP, "Keys and permissions")]
    one_for_all = re.sub("|".join(routes), routes[0], path)
    assert one_for_all in paths_listed() or path in paths_listed()


def test_the_http_page_lists_every_error_with_its_statuses() -> None:
    listed = {
        (int(status), row[1].strip("`")) for row in rows_below(HTTP, "Errors") for status in row[0].split(",")
    }
    assert {(status, code) for status, (codes, _) in ERRORS.items() for code in codes} <= listed


def commands_of(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Each command with its name, `keys create` and the like included."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands_of(commands))


def options_of(command: click.Command) -> set[str]:
    """The options of a command, those aside that a whole section explains."""
    options = {option for each in command.params for option in each.opts if option.startswith("--")}
    return options - {"--json", "--kinds", "--url", "--api-key", *STORE_OPTIONS}


def lines_on_the_page() -> dict[str, str]:
    """What the page says of each command: its line in a table; of the demo, all of its section."""
    rows = [
        row
        for part in ("store", "service")
        for row in rows_below(COMMAND_LINE, f"Commands at the {part}", "command")
    ]
    found = {name: " ".join(row) for row in rows for name in COMMANDS if re.match(rf"`{name}\b", row[0])}
    return found | {"demo": COMMAND_LINE.partition("## The demo")[2].partition("\n## ")[0]}


def test_every_command_is_on_the_page_and_no_other() -> None:
    assert lines_on_the_page().keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_on_the_page_and_no_other(name: str) -> None:
    assert set(re.findall(r"--[a-z][a-z-]*", lines_on_the_page()[name])) == options_of(COMMANDS[name])


def test_the_options_for_the_store_are_in_a_table_of_their_own() -> None:
    rows = rows_below(COMMAND_LINE, "Commands at the store", "option")
    assert {option.strip("`"): variable.strip("`") for option, variable in rows} == {
        option: variable for option, (variable, _) in STORE_OPTIONS.items()
    }
    without = {
        name
        for name, command in COMMANDS.items()
        if not {*STORE_OPTIONS} - {each for p in command.params for each in p.opts}
    }
    of_webhooks = {name for name in COMMANDS if name.startswith("webhooks ")}
    others = {"keys create", "keys list", "keys revoke", "run", "running", "reap", "erase", "doctor"}
    assert without == others | of_webhooks


def test_the_page_says_which_commands_print_json() -> None:
    (sentence,) = re.findall(r"^(.*?) print JSON", " ".join(COMMAND_LINE.partition("exit codes\n")[2].split()))
    printing = {
        name for name, command in COMMANDS.items() if any("--json" in each.opts for each in command.params)
    }
    assert set(re.findall(r"`([^`]+)`", sentence)) == printing
