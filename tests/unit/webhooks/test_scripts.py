"""The heads of the webhooks' scripts say what their bodies do, as those of the protocol's scripts do."""

import re
from importlib.resources import files

import pytest

from batchstatus.webhooks import endpoints, notices
from tests.support.lua import KEEPS, READS, WRITES, Source, parts
from tests.unit.test_architecture import MAX_SCRIPT_LINES

FOLDER = files("batchstatus.webhooks").joinpath("lua")
SCRIPTS = {
    name: Source(name, FOLDER.joinpath(f"{name}.lua").read_text())
    for name in ("disable", "look", "note", "tried", "try")
}


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest) -> Source:
    return SCRIPTS[request.param]


def test_the_loaded_scripts_are_exactly_the_files() -> None:
    assert sorted(each.name for each in FOLDER.iterdir()) == [f"{name}.lua" for name in SCRIPTS]
    scripts = (endpoints.DISABLE, notices.LOOK, notices.NOTE, notices.TRIED, notices.TRY)
    assert {each.source for each in scripts} == {each.text for each in SCRIPTS.values()}


def test_the_header_has_all_its_sections(script: Source) -> None:
    assert script.header.title.startswith(f"{script.verb}: ")
    assert re.findall(r"^-- ([A-Z]+)$", script.text, re.MULTILINE) == ["KEYS", "ARGV", "RETURNS", "WRITES"]
    assert all((script.header.keys, script.header.argv, script.header.returns, script.header.writes))


def test_the_body_is_short_and_uses_declared_keys_and_commands_of_every_server(script: Source) -> None:
    assert script.text.split("\n\n", 1)[1].count("\n") <= MAX_SCRIPT_LINES
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", script.body)}
    assert used == set(range(1, len(script.header.keys) + 1))
    assert set(script.commands) <= READS | WRITES | KEEPS
    assert ".." not in script.body


def test_the_body_names_its_arguments_as_the_header_does(script: Source) -> None:
    names = [name for name, _ in script.header.argv]
    assert script.arguments == {name: f"ARGV[{number}]" for number, name in enumerate(names, 1)}


def test_the_body_returns_what_the_header_says(script: Source) -> None:
    returned = {}
    for match in re.finditer(r"return \{", script.body):
        word, *rest = parts(script.body[match.end() :])
        returned[word.strip("'")] = len(rest)
    # JobNotFound and InvalidValue come from these two, whatever the script.
    assert returned == {word: len(names) for word, names in script.header.returns.items()}


def test_the_body_writes_the_fields_that_the_header_lists(script: Source) -> None:
    written = set()
    for command, call in zip(script.commands, script.calls, strict=True):
        fields = [each.strip("'") for each in call[2:]]
        if command == "HSET":
            written.update(fields[::2])
        elif command == "HDEL":
            written.update(f"-{each}" for each in fields)
    assert {*script.header.writes.get("notice", ()), *script.header.writes.get("endpoints", ())} == written
