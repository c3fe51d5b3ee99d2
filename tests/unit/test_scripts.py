"""The scripts' headers are the protocol's documentation: each says what its body and its Python caller do."""

import inspect
import re
from typing import Any

import pytest

from batchstatus import scripts
from batchstatus.errors import JobNotFound
from batchstatus.keys import JobKeys
from batchstatus.scripts import Script, Verdict
from tests.support.lua import SOURCES, VERBS, Source, parts

KEYS = JobKeys("the job", "the failures", "the skips")
LEASES = ("the leases",)
LISTED = {"failures": ["a failure", "another"], "skips": ["a skip"]}
"""What `report` takes as lists and sends as their number (`n_failures`) and then one by one."""
DECIDED = {"track": {"which": "LT"}, "put_off": {"which": "XX"}}
"""The arguments that a function decides itself."""

CALLERS = {verb: SOURCES[verb] for verb in VERBS} | {"put_off": SOURCES["track"]}
each_caller = pytest.mark.parametrize(("caller", "script"), CALLERS.items(), ids=CALLERS)


@pytest.fixture(params=VERBS)
def script(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


class Listener:
    """A connection that keeps what would be sent, and finds no job."""

    def confirm(self, key: str, ttl_ms: int) -> None:
        """Nothing to confirm: there are no replicas."""

    def evaluate(self, sha1: str, source: str, keys: Any, arguments: Any, *, durable: bool) -> list[bytes]:
        self.source, self.keys, self.arguments = source, list(keys), list(arguments)
        return [b"NOT_FOUND"]


def parameters(caller: str) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a function of ours."""
    found = inspect.signature(getattr(scripts, caller)).parameters
    return {name: each for name, each in found.items() if each.kind is each.KEYWORD_ONLY}


def sent(caller: str, **given: Any) -> Listener:
    """What a function of ours sends; where it takes a yes or a no, that is given as yes."""
    listener: Any = Listener()
    yes = {name: True for name, each in parameters(caller).items() if each.annotation is bool}
    keys = KEYS if CALLERS[caller].is_of_a_job else LEASES
    with pytest.raises(JobNotFound):
        getattr(scripts, caller)(listener, keys, **given | yes)
    return listener


# The header


def test_the_header_has_all_its_sections(script):
    assert script.header.title.startswith(f"{script.verb}: ")
    assert re.findall(r"^-- ([A-Z]+)$", script.text, re.MULTILINE) == ["KEYS", "ARGV", "RETURNS", "WRITES"]
    assert all((script.header.keys, script.header.argv, script.header.returns))
    assert script.header.writes or script.text.count("\n-- WRITES\n--   nothing\n") == 1


def test_every_argument_has_a_unit_or_a_type(script):
    for name, meaning in script.header.argv:
        assert re.match(r"(ms|text|rows|integer|JSON|completed)\b", meaning), name
        assert name.endswith("_ms") == meaning.startswith("ms"), name


def test_the_keys_are_those_of_a_job_or_a_bucket_of_the_lease_index_with_their_types(script):
    job = [("job", "hash"), ("failures", "list"), ("skips", "list")]
    leases = [("leases", "zset: time of the next look (ms since the epoch) → member")]
    assert script.header.keys in (job, leases)


# The body


def test_the_body_uses_the_declared_keys_and_no_other(script):
    declared = set(range(1, len(script.header.keys) + 1))
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", script.body)}
    assert used <= declared
    assert used == declared or "ipairs(KEYS)" in script.body


def test_the_body_makes_up_no_key(script):
    for command, *arguments in script.calls:
        assert command == "'TIME'" or re.fullmatch(r"KEYS\[(\d|list)\]|key", arguments[0]), (command, arguments)
    assert not re.search(r"\.\.|\bfunction\b", script.body)
    assert not re.search(r"\b(key|list)\s*=|\blocal [^=\n]*\b(key|list)\b", script.body)
    loops = re.findall(r"\bfor (\w+, \w+) in (\w+\(.*\)) do\b", script.body)
    sources = {"_, key": r"ipairs\(KEYS\)", "list, rows": r"pairs\(\{\[2\] = \{[^{}]*\}, \[3\] = \{[^{}]*\}\}\)"}
    assert all(re.fullmatch(sources[names], source) for names, source in loops)


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
    failures, skips = f"{{{named + 1}, n_failures}}", f"{{{named + 1} + n_failures, n_skips}}"
    assert f"pairs({{[2] = {failures}, [3] = {skips}}})" in report.body
    assert [name for name, _ in report.header.keys][1:] == ["failures", "skips"]


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
    assert script.header.writes.get("job", set()) == written


def test_the_header_lists_the_keys_that_the_body_writes(script):
    commands = {command for command, *_ in script.calls}
    of_hashes = {"job"} if commands & {"'HSET'", "'HINCRBY'", "'HDEL'"} else set()
    of_lists = {"failures", "skips"} if "'RPUSH'" in commands else set()
    of_sets = {"leases"} if "'ZADD'" in commands else set()
    assert script.header.writes.keys() == of_hashes | of_lists | of_sets


def test_the_body_keeps_to_what_every_server_has_and_to_the_clock_of_the_store(script):
    reads = {"'TIME'", "'EXISTS'", "'HGET'", "'HMGET'", "'HGETALL'", "'LLEN'", "'ZRANGEBYSCORE'"}
    writes = {"'HSET'", "'HINCRBY'", "'HDEL'", "'RPUSH'", "'PEXPIRE'", "'ZADD'"}
    assert {command for command, *_ in script.calls} <= reads | writes
    assert not script.text.startswith("#!")
    assert set(re.findall(r"\b(?:os|redis|cmsgpack|cjson|struct|bit)\.\w+", script.body)) == {"redis.call"}
    assert set(re.findall(r"\bmath\.(\w+)", script.body)) <= {"floor", "max", "min"}


# The Python side


def test_every_script_is_loaded_and_every_loaded_one_is_there():
    loaded = {name.lower(): each.source for name, each in vars(scripts).items() if isinstance(each, Script)}
    assert loaded == {verb: source.text for verb, source in SOURCES.items()}


@each_caller
def test_the_caller_takes_what_the_header_lists_and_sends_it_in_that_order(caller, script):
    names = [name for name, _ in script.header.argv]
    given = {name: LISTED.get(name, f"the {name}") for name in parameters(caller)}
    made = {"paused": 1, "n_failures": len(LISTED["failures"])} | DECIDED.get(caller, {})
    taken = [name for name in names if name not in made or name == "paused"]
    assert sorted(given) == sorted([*taken, *(LISTED if "n_failures" in names else ())])
    request = sent(caller, **given)
    rows = [*LISTED["failures"], *LISTED["skips"]] if "n_failures" in names else []
    assert request.arguments == [made.get(name, given.get(name)) for name in names] + rows
    assert request.keys == list(KEYS if script.is_of_a_job else LEASES)
    assert request.source == script.text


@each_caller
def test_the_caller_sends_an_empty_text_for_what_is_not_given(caller, script):
    optional = {name for name, each in parameters(caller).items() if "None" in str(each.annotation)}
    given = dict.fromkeys(parameters(caller).keys() - LISTED.keys(), "x") | dict.fromkeys(optional)
    empty = {name for name, meaning in script.header.argv if "or ''" in meaning}
    assert optional == empty
    arguments = sent(caller, **given).arguments
    assert {name for (name, _), word in zip(script.header.argv, arguments, strict=True) if word == ""} == empty


@each_caller
def test_the_caller_knows_no_word_that_the_script_never_says(caller, script):
    known = set(re.findall(r'word == "(\w+)"', inspect.getsource(getattr(scripts, caller))))
    assert known <= script.header.returns.keys()
    assert ("NOT_FOUND" in script.header.returns) == (script.is_of_a_job and caller != "create")


def test_settling_has_a_verdict_for_every_word():
    assert {*Verdict} == SOURCES["settle"].header.returns.keys() - {"NOT_FOUND"}
