"""The scripts' headers are the protocol's documentation: each says what its body and its Python caller do."""

import inspect
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from batchstatus import scripts
from batchstatus.errors import JobNotFound
from batchstatus.keys import JobKeys
from batchstatus.scripts import Script, Verdict

FOLDER = Path(scripts.__file__).parent / "lua"
KEYS = JobKeys("the job", "the failures", "the skips")
LISTED = {"failures": ["a failure", "another"], "skips": ["a skip"]}
"""What `report` takes as lists and sends as their number (`n_failures`) and then one by one."""


@dataclass
class Header:
    """What a script says about itself."""

    title: str
    keys: list[tuple[str, str]] = field(default_factory=list)
    argv: list[tuple[str, str]] = field(default_factory=list)
    returns: dict[str, int] = field(default_factory=dict)
    writes: dict[str, set[str]] = field(default_factory=dict)


class Source:
    """A script: its header and its body without comments."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.text = (FOLDER / f"{verb}.lua").read_text()
        head, _, body = self.text.partition("\n\n")
        self.head = [line.removeprefix("--") for line in head.splitlines()]
        self.body = re.sub(r"--[^\n]*", "", body)

    @cached_property
    def header(self) -> Header:
        header, section, keys = Header(self.head[0].strip()), "", [""]
        for line in self.head[1:]:
            words = line.split()
            if re.fullmatch(r" [A-Z]+", line):
                section = words[0]
            elif section in ("KEYS", "ARGV"):
                number, name, *rest = words
                found = header.keys if section == "KEYS" else header.argv
                found.append((name, " ".join(rest)))
                assert int(number) == len(found)
            elif section == "RETURNS":
                (answer,) = re.findall(r"^   \{'(\w+)'([^}]*)\}", line)
                header.returns[answer[0]] = 1 + answer[1].count(",")
            elif section == "WRITES":
                if named := re.match(r"   ([a-z, ]+): ", line):
                    keys, words = named[1].split(", "), line[named.end() :].split()
                header.writes.update({key: header.writes.get(key, set()) | {*words} for key in keys})
        return header

    @cached_property
    def calls(self) -> list[list[str]]:
        """The arguments of each `redis.call`, as they are written."""
        starts = [match.end() for match in re.finditer(r"redis\.call\(", self.body)]
        return [parts(self.body[start:]) for start in starts]

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The locals that are made from ARGV: name -> expression."""
        found = {}
        for names, values in re.findall(r"^local ([\w, ]+) = (.*ARGV\[.*)$", self.body, re.MULTILINE):
            pairs = zip(names.split(", "), parts(values + ")"), strict=True)
            found.update({name: value for name, value in pairs if "ARGV[" in value})
        return found


def parts(text: str) -> list[str]:
    """What stands between here and the bracket that closes, cut at the commas that are not inside others."""
    found, depth = "", 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            break
        found += "\0" if letter == "," and depth == 0 else letter
    return [part.strip() for part in found.split("\0")]


VERBS = sorted(path.stem for path in FOLDER.glob("*.lua"))
SOURCES = {verb: Source(verb) for verb in VERBS}


@pytest.fixture(params=VERBS)
def script(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


class Listener:
    """A connection that keeps what would be sent, and finds no job."""

    def evaluate(self, sha1: str, source: str, keys: Any, arguments: Any) -> list[bytes]:
        self.source, self.keys, self.arguments = source, list(keys), list(arguments)
        return [b"NOT_FOUND"]


def parameters(verb: str) -> dict[str, inspect.Parameter]:
    """The keyword parameters of the verb's function."""
    found = inspect.signature(getattr(scripts, verb)).parameters
    return {name: each for name, each in found.items() if each.kind is each.KEYWORD_ONLY}


def sent(verb: str, **given: Any) -> Listener:
    """What the verb's function sends."""
    listener: Any = Listener()
    with pytest.raises(JobNotFound):
        getattr(scripts, verb)(listener, KEYS, **given)
    return listener


# The header


def test_the_header_has_all_its_sections(script):
    assert script.header.title.startswith(f"{script.verb}: ")
    assert re.findall(r"^-- ([A-Z]+)$", script.text, re.MULTILINE) == ["KEYS", "ARGV", "RETURNS", "WRITES"]
    assert all((script.header.keys, script.header.argv, script.header.returns, script.header.writes))


def test_every_argument_has_a_unit_or_a_type(script):
    for name, meaning in script.header.argv:
        assert re.match(r"(ms|text|rows|integer|JSON|completed)\b", meaning), name
        assert name.endswith("_ms") == meaning.startswith("ms"), name


def test_the_keys_are_those_of_a_job_with_their_types(script):
    types = {"job": "hash", "failures": "list", "skips": "list"}
    assert script.header.keys == list(types.items())[: len(script.header.keys)]


# The body


def test_the_body_uses_the_declared_keys_and_no_other(script):
    declared = set(range(1, len(script.header.keys) + 1))
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", script.body)}
    assert used <= declared
    assert used == declared or "ipairs(KEYS)" in script.body


def test_the_body_makes_up_no_key(script):
    for command, *arguments in script.calls:
        assert command == "'TIME'" or re.fullmatch(r"KEYS\[\d\]|key", arguments[0]), (command, arguments)
    assert ".." not in script.body
    assert set(re.findall(r"(?:for _,|function \w+\()\s*(\w+)", script.body)) <= {"key"}


def test_the_body_names_its_arguments_as_the_header_does(script):
    names = [name for name, _ in script.header.argv]
    for name, value in script.arguments.items():
        assert value in (f"ARGV[{names.index(name) + 1}]", f"tonumber(ARGV[{names.index(name) + 1}])")
    assert list(script.arguments) == names
    assert len(re.findall(r"ARGV\[", script.body)) == len(names)


def test_rows_follow_the_arguments_that_have_names():
    report = SOURCES["report"]
    named = len(report.header.argv)
    assert re.findall(r"#ARGV - (\d+)", report.body) == [str(named)]
    assert re.findall(r"append\(KEYS\[\d\], \w+, (\d+)", report.body) == [str(named + 1)] * 2


def test_the_body_returns_what_the_header_says(script):
    returned = {}
    for match in re.finditer(r"return \{", script.body):
        word, *rest = parts(script.body[match.end() :])
        returned |= dict.fromkeys(re.findall(r"'(\w+)'", word), 1 + len(rest))
    assert returned == script.header.returns


def test_the_body_writes_the_fields_that_the_header_lists(script):
    written = set()
    for command, *rest in script.calls:
        fields = [field.strip("'") for field in rest[1:]]
        if command == "'HSET'":
            written.update(fields[::2])
        elif command == "'HINCRBY'":
            written.add(fields[0])
        elif command == "'HDEL'":
            written.update(f"-{field}" for field in fields)
    assert all(re.fullmatch(r"-?[a-zA-Z]+", name) for name in written)
    assert script.header.writes["job"] == written


def test_a_script_that_appends_rows_says_so(script):
    lists = {"failures", "skips"} if "'RPUSH'" in script.body else set()
    assert script.header.writes.keys() == {"job"} | lists


def test_the_body_keeps_to_what_every_server_has_and_to_the_clock_of_the_store(script):
    reads = {"'TIME'", "'EXISTS'", "'HGET'", "'HMGET'", "'HGETALL'", "'LLEN'"}
    writes = {"'HSET'", "'HINCRBY'", "'HDEL'", "'RPUSH'", "'PEXPIRE'"}
    assert {command for command, *_ in script.calls} <= reads | writes
    assert not script.text.startswith("#!")
    assert set(re.findall(r"\b(?:os|redis|cmsgpack|cjson|struct|bit)\.\w+", script.body)) == {"redis.call"}
    assert set(re.findall(r"\bmath\.(\w+)", script.body)) <= {"floor", "max", "min"}


# The Python side


def test_every_script_is_loaded_and_every_loaded_one_is_there():
    loaded = {name.lower(): each.source for name, each in vars(scripts).items() if isinstance(each, Script)}
    assert loaded == {verb: source.text for verb, source in SOURCES.items()}


def test_the_caller_takes_what_the_header_lists_and_sends_it_in_that_order(script):
    names = [name for name, _ in script.header.argv]
    given = {name: LISTED.get(name, f"the {name}") for name in parameters(script.verb)}
    taken = [name for name in names if name != "n_failures"]
    assert sorted(given) == sorted([*taken, *(LISTED if "n_failures" in names else ())])
    request = sent(script.verb, **given)
    n_rows = {"n_failures": len(LISTED["failures"])}
    rows = [*LISTED["failures"], *LISTED["skips"]] if "n_failures" in names else []
    assert request.arguments == [n_rows.get(name, given.get(name)) for name in names] + rows
    assert request.keys == list(KEYS[: len(script.header.keys)])
    assert request.source == script.text


def test_the_caller_sends_an_empty_text_for_what_is_not_given(script):
    optional = {name for name, each in parameters(script.verb).items() if "None" in str(each.annotation)}
    given = dict.fromkeys(parameters(script.verb).keys() - LISTED.keys(), "x") | dict.fromkeys(optional)
    empty = {name for name, meaning in script.header.argv if "or ''" in meaning}
    assert optional == empty
    arguments = sent(script.verb, **given).arguments
    assert {name for (name, _), word in zip(script.header.argv, arguments, strict=True) if word == ""} == empty


def test_the_caller_knows_no_word_that_the_script_never_says(script):
    known = set(re.findall(r'word == "(\w+)"', inspect.getsource(getattr(scripts, script.verb))))
    assert known <= script.header.returns.keys()
    assert "NOT_FOUND" in script.header.returns or script.verb == "create"


def test_settling_has_a_verdict_for_every_word():
    assert {*Verdict} == SOURCES["settle"].header.returns.keys() - {"NOT_FOUND"}
