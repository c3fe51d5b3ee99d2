"""The scripts' headers are the protocol's documentation: each says what its body and its Python function do."""

import inspect
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from batchstatus.jobs import looks
from batchstatus.model import rows
from batchstatus.model.errors import JobNotFound
from batchstatus.model.job import Action, Job, Kind, Place, Status
from batchstatus.model.keys import JobKeys
from batchstatus.model.messages import Batch, Claim, Content, Counts, Ending, Verdict
from batchstatus.protocol import verbs
from batchstatus.protocol.verbs import Script
from batchstatus.settings import StoreSettings
from tests.support.lua import JOB, KEEPS, READS, SOURCES, VERBS, WRITES, Source, parts

PLACING = [verb for verb in VERBS if "PLACE" in SOURCES[verb].header.returns]
COMING = {"claim": "running", "control": "cancelled", "finish": "failed", "settle": "interrupted"}
"""The status that a function sends as `placed` where the argument is left out."""

SETTINGS = StoreSettings(lease_s=1.1, grace_s=2.2, retention_s=33.3, max_rows=44)
CONTENT = Content(
    Kind.TRANSACTION_BATCH, 55, '{"fileName": "a.csv"}', takeover_ms=66, digest="the digest", parts=22
)
JOB_CLAIMED = Job(
    *("the job_id", Kind.TRANSACTION_BATCH, Status.RUNNING, None, 0, 0, 0, None, None, None),
    *(datetime(2026, 11, 23, tzinfo=UTC), None),
)
CLAIM = Claim(JOB_CLAIMED, fence=77, token="the token", seq=0, checkpoint=None)
BATCH = Batch(
    88,
    ({"externalId": "F-1"}, {"externalId": "F-2"}),
    ({"externalId": "S-1"},),
    99,
    {"line": 111},
    Counts(21, 3, 0),
)
ENDING = Ending(Status.FAILED, "the worker_error", "the job_failure")

GIVEN: dict[str, dict[str, Any]] = {
    "create": {
        "org": "the org_id",
        "job_id": "the job_id",
        "content": CONTENT,
        "created_ms": 122,
        "fresh_ms": 133,
    },
    "claim": {"token": "the token", "placed": "the status", "lease_ms": None, "worker": "the worker"},
    "report": {"claim": CLAIM, "seq": 144, "batch": BATCH, "paused": True},
    "finish": {"claim": CLAIM, "ending": ENDING, "seq": 144, "placed": "the status"},
    "control": {"action": Action.CANCEL, "placed": "the status"},
    "split": {"parts": 22},
    "settle": {"placed": "the status"},
    "enter": {"job_id": "the job_id"},
    "place": {"job_id": "the job_id", "created_ms": 122},
    "forget": {"member": "the member", "older_ms": 155},
    "track": {"member": "the member", "in_ms": 166, "which": "LT"},
    "move": {"member": "the member", "due_ms": 177},
    "due": {"limit": 188},
    "turn": {"token": "the token", "turn_ms": 199},
}
"""An argument for each parameter of each function of `verbs`; no two values are the same."""

MEANT: dict[str, Any] = {
    "lease_ms": 1_100,
    "grace_ms": 2_200,
    "retention_ms": 33_300,
    "max_rows": 44,
    "kind": "transaction_batch",
    "total_items": 55,
    "metadata": CONTENT.metadata,
    "takeover_ms": 66,
    "parts": 22,
    "digest": "the digest",
    "org_id": "the org_id",
    "job_id": "the job_id",
    "fence": 77,
    "token": "the token",
    "seq": 144,
    "succeeded": 88,
    "checkpoint": '{"line":111}',
    "kept_ok": 21,
    "kept_failed": 3,
    "kept_skipped": 0,
    "paused": 1,
    "n_failures": 2,
    "status": "failed",
    "worker_error": "the worker_error",
    "job_failure": "the job_failure",
    "placed": "the status",
    "action": "cancel",
    "limit": 188,
    "created_ms": 122,
    "fresh_ms": 133,
    "member": "the member",
    "older_ms": 155,
    "in_ms": 166,
    "which": "LT",
    "due_ms": 177,
    "turn_ms": 199,
    "worker": "the worker",
}
"""For each argument that a header names, the word to be sent where GIVEN is given."""

LISTED = [*map(rows.encode, (*BATCH.failures, *BATCH.skips))]


@pytest.fixture(params=VERBS)
def script(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


class Listener:
    """A connection that keeps what would be sent, and gives one answer, by default that there is no job."""

    settings = SETTINGS

    def __init__(self, *answer: bytes) -> None:
        self._answer = list(answer or [b"NOT_FOUND"])

    def confirm(self, keys: Any, ttl_ms: int) -> None:
        """Nothing to confirm: there are no replicas."""

    def evaluate(self, sha1: str, source: str, keys: Any, arguments: Any, *, durable: bool) -> list[bytes]:
        self.source, self.keys, self.arguments, self.durable = source, keys, list(arguments), durable
        return self._answer


def keys_of(script: Source) -> Any:
    """Keys such as a script takes."""
    if script.is_of_a_job:
        return JobKeys("the job", "the failures", "the skips")
    return ("an index", "another", "a third") if script.header.takes_any_number_of_keys else ("the index",)


def sent(verb: str, **given: Any) -> Listener:
    """Returns the connection to which a function of `verbs` has sent its script."""
    listener = Listener()
    with pytest.raises(JobNotFound):
        getattr(verbs, verb)(listener, keys_of(SOURCES[verb]), **given)
    return listener


# The header


def test_the_header_has_all_its_sections(script):
    assert script.header.title.startswith(f"{script.verb}: ")
    assert re.findall(r"^-- ([A-Z]+)$", script.text, re.MULTILINE) == ["KEYS", "ARGV", "RETURNS", "WRITES"]
    assert all((script.header.keys, script.header.argv, script.header.returns))
    assert script.header.writes or script.text.count("\n-- WRITES\n--   nothing\n") == 1


def test_every_argument_has_a_unit_or_a_type(script):
    for name, meaning in script.header.argv:
        assert re.match(r"(ms|text|rows|integer|JSON)\b", meaning), name
        assert name.endswith("_ms") == meaning.startswith("ms"), name
        assert (name in ("created_ms", "due_ms")) == meaning.startswith("ms since the epoch"), name


def test_the_keys_are_a_jobs_or_an_indexs_with_their_types(script):
    if not script.is_of_a_job:
        ((name, meaning),) = script.header.keys
        if name == "turn":
            assert meaning == "hash: who has the turn"
        elif name == "looks":
            assert meaning == "zset: time of the next look (ms since the epoch) → member"
        elif script.header.takes_any_number_of_keys:
            assert (name, meaning) == ("index", "zset: time (ms since the epoch) → member")
        else:
            assert name == "index"
            assert meaning.startswith("zset: createdAt (ms since the epoch) → jobId; that of the kind and ")


# The body


def test_the_body_uses_all_declared_keys_and_no_other(script):
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", script.body)}
    declared = set() if script.header.takes_any_number_of_keys else set(range(1, len(script.header.keys) + 1))
    assert used <= declared
    assert used == declared or "in ipairs(KEYS)" in script.body
    assert not re.search(r"KEYS(?!\[(\d+|list)\]|\) do)", script.body)
    assert "KEYS[list]" not in script.body or script.header.keys == JOB


LOOPS = {
    r"_, key in ipairs\(KEYS\)",
    r"list, first in pairs\(\{\[2\] = \d+, \[3\] = \d+ \+ n_failures\}\)",
    r"from = first, to, 1000",
    r"name, number in pairs\(\{[\w\s,=']*\}\)",
}


def test_the_body_composes_no_key(script):
    for command, *arguments in script.calls:
        assert command == "'TIME'" or re.fullmatch(r"KEYS\[(\d|list)\]|key", arguments[0]), (command, arguments)
    # What is put together from texts is compared to one, and then forgotten.
    assert ".." not in re.sub(r"\b\w+( \.\. \w+)+ == '[^']*'", "", script.body)
    assert not re.search(r"\bfunction\b|\bKEYS(\[[^]]*\])?(, [\w\[\]]+)* = ", script.body)
    assert not re.search(r"\b(key|list)\s*=(?!=)|\blocal [^=\n]*\b(key|list)\b", script.body)
    loops = re.findall(r"\bfor (.*?) do\b", script.body, re.DOTALL)
    assert len(loops) == len(re.findall(r"\b(?:for|while|repeat)\b", script.body))
    assert [loop for loop in loops if not any(re.fullmatch(known, loop) for known in LOOPS)] == []


def test_the_body_names_its_arguments_as_the_header_does(script):
    names = [name for name, _ in script.header.argv]
    for name, value in script.arguments.items():
        assert value in (f"ARGV[{names.index(name) + 1}]", f"tonumber(ARGV[{names.index(name) + 1}])")
    assert list(script.arguments) == names
    assert len(re.findall(r"ARGV\[", script.body)) == len(names)
    assert ("n_failures" in names) == bool(re.search(r"ARGV(?!\[)", script.body))


def test_the_body_uses_all_of_its_arguments(script):
    rest = "\n".join(line for line in script.body.splitlines() if "ARGV[" not in line)
    assert [name for name in script.arguments if not re.search(rf"\b{name}\b", rest)] == []


def test_reports_rows_follow_its_named_arguments():
    report = SOURCES["report"]
    last = len(report.header.argv)
    assert [name for name, _ in report.header.keys] == ["job", "failures", "skips"]
    assert re.findall(r"#ARGV (.*?)(?: and|\n)", report.body) == [
        f"- {last} - n_failures, tonumber(n_failures)",
        f"== {last}",
    ]
    lists = f"pairs({{[2] = {last + 1}, [3] = {last + 1} + n_failures}})"
    assert f"for list, first in {lists} do" in report.body
    room = "list == 2 and n_failures or n_skips, max_rows - redis.call('LLEN', KEYS[list])"
    assert f"local n, room = {room}" in report.body
    assert "local to = first + math.min(n, room) - 1" in report.body
    stored = "redis.call('RPUSH', KEYS[list], unpack(ARGV, from, math.min(from + 999, to)))"
    assert f"for from = first, to, 1000 do {stored} end" in report.body
    judged = [f"table.concat(ARGV, ' ', {first}, {to})" for first, to in ((3, 8), (10, last))]
    assert [each for each in judged if each not in report.body] == []
    assert len(re.findall(r"ARGV(?!\[)", report.body)) == 5


def test_the_body_returns_what_the_header_says(script):
    returned = {}
    for match in re.finditer(r"return \{", script.body):
        word, *rest = parts(script.body[match.end() :])
        returned |= dict.fromkeys(re.findall(r"'(\w+)'", word), len(rest))
    assert returned == {word: len(names) for word, names in script.header.returns.items()}
    assert len(re.findall(r"\breturn\b", script.body)) == len(re.findall(r"return \{", script.body))


def test_the_body_writes_the_fields_that_the_header_lists(script):
    written = set()
    for command, call in zip(script.commands, script.calls, strict=True):
        fields = [each.strip("'") for each in call[2:]]
        if command == "HSET":
            written.update(fields[::2])
        elif command == "HINCRBY":
            written.add(fields[0])
        elif command == "HDEL":
            written.update(f"-{each}" for each in fields)
    assert all(re.fullmatch(r"-?[a-zA-Z]+", name) for name in written)
    assert script.header.writes.get("turn" if script.verb == "turn" else "job", set()) == written


def test_the_body_writes_the_members_that_the_index_key_declares(script):
    ((name, meaning), *_) = script.header.keys
    member = "job_id" if "→ jobId" in meaning else "member"
    of_sets = [call for call in script.calls if call[0] in ("'ZADD'", "'ZREM'", "'ZSCORE'")]
    assert [call for call in of_sets if call[-1] != member] == []
    of_no_set = script.is_of_a_job or name == "turn"
    assert of_no_set or script.header.writes in ({name: {"the", "member"}}, {})


def test_the_header_lists_the_keys_that_the_body_writes(script):
    written = set()
    for command, call in zip(script.commands, script.calls, strict=True):
        if command in WRITES:
            written.update(script.names_of(call[1]))
    assert script.header.writes.keys() == written


def test_the_body_uses_only_commands_of_every_server_and_the_stores_clock(script):
    assert set(script.commands) <= READS | WRITES | KEEPS
    assert not script.text.startswith("#!")
    used = set(re.findall(r"\b(?:os|redis|cmsgpack|cjson|struct|bit)\b\S{0,6}", script.body))
    assert used - {"cjson.decod"} == {"redis.call("}
    assert set(re.findall(r"\bmath\.(\w+)", script.body)) <= {"floor", "max", "min"}


def test_scripts_that_must_run_with_full_memory_first_write_without_allocating():
    for verb in ("control", "finish", "settle", "place", "turn"):
        first = next(command for command in SOURCES[verb].commands if command not in READS)
        assert first in KEEPS, verb


def test_every_script_that_writes_to_a_job_renews_all_its_keys(script):
    if script.is_of_a_job:
        every_key = "for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end"
        assert every_key in script.body
        assert set(re.findall(r"'(PEXPIRE|PERSIST)', ([^)]*)\)", script.body)) <= {
            ("PEXPIRE", "key, retention_ms"),
            ("PEXPIRE", "KEYS[1], retention_ms"),  # create: there are no rows yet
        }
        assert ("KEYS[1], retention_ms" in script.body) == (script.verb == "create")


# Placing


@pytest.mark.parametrize("verb", PLACING)
def test_a_script_asks_for_the_place_of_the_status_that_it_writes(verb):
    script = SOURCES[verb]
    assert script.header.returns["PLACE"] == ["status", "kind", "created_ms"]
    (fields,) = [call[2:] for call in script.calls if call[0] == "'HMGET'"]
    asked = re.findall(r"placed ~= ('?\w+'?) then\s+return (\{[^}]*\})", script.body)
    assert len(asked) == len(re.findall(r"\bplaced\b", script.body)) - 1 == 1
    ((status, answer),) = asked
    word, there, *rest = parts(answer[1:])
    assert (word, there) == ("'PLACE'", status)
    assert [fields[int(re.fullmatch(r"job\[(\d+)\]", each)[1]) - 1] for each in rest] == ["'kind'", "'createdAt'"]
    assert re.search(rf"redis\.call\('HSET', KEYS\[1\], [^)]*'status', {status}[,)]", script.body)


def test_exactly_the_scripts_that_change_an_existing_jobs_status_ask_for_a_place():
    changing = {verb for verb in VERBS if "status" in SOURCES[verb].header.writes.get("job", ())} - {"create"}
    assert set(PLACING) == COMING.keys() == changing
    assert {verb for verb in VERBS if "placed" in dict(SOURCES[verb].header.argv)} == changing


@pytest.mark.parametrize("verb", PLACING)
def test_the_function_returns_the_place_that_the_script_asks_for(verb):
    answer: Any = Listener(b"PLACE", b"running", b"transaction_batch", b"1700000000000")
    place = getattr(verbs, verb)(answer, keys_of(SOURCES[verb]), **GIVEN[verb])
    assert place == Place(Kind.TRANSACTION_BATCH, Status.RUNNING, 1_700_000_000_000)


@pytest.mark.parametrize("verb", PLACING)
def test_the_function_sends_where_the_job_was_placed_even_if_nowhere(verb):
    at = [name for name, _ in SOURCES[verb].header.argv].index("placed")
    assert sent(verb, **GIVEN[verb] | {"placed": ""}).arguments[at] == ""
    unsaid = {name: value for name, value in GIVEN[verb].items() if name != "placed"}
    assert sent(verb, **unsaid).arguments[at] == COMING[verb]


# The Python side


def test_the_loaded_scripts_are_exactly_the_files():
    loaded = {name.lower(): each.source for name, each in vars(verbs).items() if isinstance(each, Script)}
    assert loaded == {verb: source.text for verb, source in SOURCES.items()}


def test_given_has_an_argument_for_every_parameter(script):
    connection, keys, *others = inspect.signature(getattr(verbs, script.verb)).parameters
    assert (connection, keys, others) == ("connection", "keys", [*GIVEN[script.verb]])


def test_the_function_sends_the_arguments_that_the_header_lists_in_that_order(script):
    assert len({*map(str, MEANT.values())}) == len(MEANT), "two that are the same could be mistaken for each other"
    names = [name for name, _ in script.header.argv]
    meant = MEANT | ({"total_items": 99} if script.verb == "report" else {})
    request = sent(script.verb, **GIVEN[script.verb])
    assert request.arguments == [meant[name] for name in names] + (LISTED if "n_failures" in names else [])
    assert request.keys == keys_of(script)
    assert request.source == script.text


def test_the_function_takes_as_many_keys_as_the_header_lists(script):
    (annotation,) = [
        each.annotation
        for name, each in inspect.signature(getattr(verbs, script.verb)).parameters.items()
        if name == "keys"
    ]
    many = "Sequence[str]" if script.header.takes_any_number_of_keys else "tuple[str]"
    shown = annotation.__name__ if annotation is JobKeys else str(annotation).removeprefix("collections.abc.")
    assert shown == ("JobKeys" if script.is_of_a_job else many)
    assert len(JobKeys._fields) == len(JOB)
    assert [name for name, _ in JOB] == list(JobKeys._fields)


NOT_GIVEN: dict[str, dict[str, Any]] = {
    "create": {"content": replace(CONTENT, total_items=None, parts=None)},
    "claim": {"worker": ""},
    "report": {"batch": replace(BATCH, total_items=None, checkpoint=None)},
    "finish": {"ending": Ending(Status.FAILED), "seq": None},
}


def test_the_function_sends_an_empty_text_for_an_absent_argument(script):
    empty = {name for name, meaning in script.header.argv if "or ''" in meaning} - {"placed"}
    assert bool(empty) == (script.verb in NOT_GIVEN)
    arguments = sent(script.verb, **GIVEN[script.verb] | NOT_GIVEN.get(script.verb, {})).arguments
    named = zip((name for name, _ in script.header.argv), arguments, strict=False)
    assert {name for name, word in named if word == ""} == empty


def test_the_function_knows_no_answer_that_the_script_never_gives(script):
    known = set(re.findall(r'word == "(\w+)"', inspect.getsource(getattr(verbs, script.verb))))
    assert known <= script.header.returns.keys()
    assert ("NOT_FOUND" in script.header.returns) == (script.is_of_a_job and script.verb != "create")


def test_settle_has_a_verdict_for_every_answer():
    assert {*Verdict} == SOURCES["settle"].header.returns.keys() - {"NOT_FOUND", "PLACE", "INVALID"}


def test_looks_uses_exactly_the_modes_that_tracks_header_explains():
    explained = re.findall(r"\b([A-Z]{2}),", dict(SOURCES["track"].header.argv)["which"])
    assert sorted(explained) == sorted(set(re.findall(r'"([A-Z]{2})"', inspect.getsource(looks))))


def test_only_scripts_that_write_hints_do_not_wait_for_replicas(script):
    durable = sent(script.verb, **GIVEN[script.verb]).durable
    assert durable == (script.verb not in ("track", "move", "due", "forget", "turn"))
