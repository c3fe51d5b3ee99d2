"""The script of a step with a part: its head says what its chunks do, and each rule stands in one file only."""

import re

import pytest

from batchstatus.protocol.of_part import CHUNKS, summed
from batchstatus.protocol.script import load
from tests.support.lua import FOLDER, KEEPS, READS, SOURCES, WRITES, Source, parts

VERBS = ["claim", "finish", "report", "settle"]
HEAD, _, _ = load(f"part/{CHUNKS[0]}").partition("\n\n")
BODIES = "\n".join(load(f"part/{chunk}").partition("\n\n")[2] for chunk in CHUNKS)
PART = Source("part", f"{HEAD}\n\n{BODIES}")
NAMES = ["job", "leases", "awaiting", "part", "failures", "skips"]


def names_of(key: str) -> str:
    """The head's name for a key such as `KEYS[1]`."""
    return NAMES[int(key.removeprefix("KEYS[").removesuffix("]")) - 1]


def fields_put() -> set[str]:
    """The fields of the job that the chunks collect and then write, and those that they may drop with a `-`."""
    puts = [parts(PART.body[match.end() :]) for match in re.finditer(r"\bput\(", PART.body)]
    puts = [[name.strip("'"), value] for name, value in puts if name != "name"]
    dropped = {f"-{name}" for name, value in puts if value.startswith("first(") or value.endswith(" and 1")}
    first, *_ = re.findall(r"local set = \{(.*)\}", PART.body)
    return {name for name, _ in puts} | dropped | set(re.findall(r"'(\w+)'(?=, \w+(?:,|$|\())", first))


# The head


def test_the_head_lists_all_keys() -> None:
    assert PART.header.title.startswith("part: ")
    assert [name for name, _ in PART.header.keys] == NAMES
    assert re.findall(r"^-- ([A-Z]+)$", PART.text, re.MULTILINE) == ["KEYS", "RETURNS", "WRITES"]


def test_the_chunks_return_what_the_head_says() -> None:
    returned: dict[str, set[int]] = {}
    for match in re.finditer(r"return \{(?=')", PART.body):
        word, *rest = parts(PART.body[match.end() :])
        returned.setdefault(word.strip("'"), set()).add(len(rest))
    told = {word: len(names) for word, names in PART.header.returns.items()}
    assert returned.keys() == told.keys()
    assert {word: max(many) for word, many in returned.items()} == told


def test_the_chunks_write_the_fields_that_the_head_lists() -> None:
    written: dict[str, set[str]] = {"job": fields_put(), "part": set()}
    flags = re.findall(r"'(batch\w+)'", re.findall(r"local flags = \{(.*)\}", PART.body)[0])
    for command, call in zip(PART.commands, PART.calls, strict=True):
        if command in ("HSET", "HDEL") and not call[2].startswith("unpack"):
            fields = flags if call[2] == "flag" else [each.strip("'") for each in call[2:]]
            sign = "-" if command == "HDEL" else ""
            fields = fields[:: 2 if command == "HSET" and call[2] != "flag" else 1]
            written[names_of(call[1])].update(f"{sign}{each}" for each in fields)
    members = {"leases": {"the", "part's", "number"}, "awaiting": {"the", "part's", "number"}}
    assert PART.header.writes == written | members


def test_a_sorted_set_has_the_parts_number_as_its_member() -> None:
    of_sets = [call for call in PART.calls if call[0] in ("'ZADD'", "'ZREM'")]
    assert {names_of(call[1]) for call in of_sets} == {"leases", "awaiting"}
    assert {call[-1] for call in of_sets} == {"number"}


def test_the_chunks_use_only_commands_of_every_server_and_no_key_that_is_not_given() -> None:
    assert set(PART.commands) <= READS | WRITES | KEEPS
    assert {call[1] for call in PART.calls if call[0] != "'TIME'"} <= {f"KEYS[{n}]" for n in range(1, 7)} | {
        *("key", "KEYS[at]")
    }
    assert not re.search(r"(?<!\.)\.\.(?!\.)", PART.body)  # no key is put together
    used = set(re.findall(r"\b(?:os|redis|cmsgpack|cjson|struct|bit)\b\S{0,6}", PART.body))
    assert used == {"redis.call("}


def test_the_script_that_reads_rows_writes_nothing() -> None:
    rows = Source("rows", load("part/rows"))
    assert set(rows.commands) <= READS | {"LRANGE"}
    named = re.findall(r"^--   \d  (\w+)  +rows:", rows.text, re.MULTILINE)
    assert f"local {', '.join(named)} = tonumber(ARGV[1]), tonumber(ARGV[2]), " in rows.body


# The whole


@pytest.mark.parametrize("verb", VERBS)
def test_a_script_for_a_part_has_the_verb_unchanged_as_a_function_and_knows_its_arguments(verb: str) -> None:
    _, source = summed(SOURCES[verb].text)
    assert source.count(f"local verb = function(KEYS, ARGV)\n{SOURCES[verb].text}end\n") == 1
    names, numbers = re.findall(r"^local VERB, ([A-Z_, ]+) = '(\w+)', (.*)$", source, re.MULTILINE)[0][::2]
    at = dict(zip(names.lower().split(", "), numbers.split(", "), strict=True))
    arguments = [name for name, _ in SOURCES[verb].header.argv]
    assert at == {name: str(arguments.index(name) + 1) if name in arguments else "nil" for name in at}
    assert set(re.findall(r"ARGV\[([A-Z_]+)\]", PART.body)) == {*map(str.upper, at)}
    assert f"VERB, {names} = '{verb}'" in source


def test_the_pace_is_kept_by_the_lines_of_report_alone() -> None:
    _, source = summed(SOURCES["claim"].text)
    (rule,) = re.findall(r"^local keep_pace = function\(KEYS, now, pace, done\)\n(.*?)^end\n", source, re.M | re.S)
    assert rule in SOURCES["report"].text
    assert rule.count("'pace'") == 1
    moving = [path.name for path in FOLDER.glob("**/*.lua") if "(%d+ %d+) %d+ %d+" in path.read_text()]
    assert moving == ["report.lua"]


def test_every_chunk_is_part_of_the_script() -> None:
    files = {path.stem for path in FOLDER.glob("part/*.lua")}
    assert files == {*CHUNKS, "rows"}
    for chunk in CHUNKS:
        assert load(f"part/{chunk}").startswith("-- part: " if chunk == "judge" else f"-- {chunk}: ")
