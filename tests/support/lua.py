"""A parser of the Lua scripts: their headers, and the commands in their bodies."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from batchstatus.protocol import verbs

FOLDER = Path(verbs.__file__).parent / "lua"

READS = {"TIME", "EXISTS", "HGET", "HMGET", "HGETALL", "LLEN", "ZRANGEBYSCORE", "ZSCORE"}
KEEPS = {"PEXPIRE", "PERSIST"}
"""Commands that write a key's time to live, and nothing of its content."""
WRITES = {"HSET", "HINCRBY", "HDEL", "RPUSH", "LTRIM", "ZADD", "ZREM"}
"""READS, KEEPS and WRITES are all commands that a script may use: every supported server has them."""

JOB = [("job", "hash"), ("failures", "list"), ("skips", "list")]


@dataclass
class Header:
    """The header of a script."""

    title: str
    keys: list[tuple[str, str]] = field(default_factory=list)
    argv: list[tuple[str, str]] = field(default_factory=list)
    returns: dict[str, list[str]] = field(default_factory=dict)
    writes: dict[str, set[str]] = field(default_factory=dict)
    takes_any_number_of_keys: bool = False


class Source:
    """A script: its header, and its body without comments."""

    def __init__(self, verb: str, text: str | None = None) -> None:
        self.verb = verb
        self.text = (FOLDER / f"{verb}.lua").read_text() if text is None else text
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
                header.takes_any_number_of_keys |= number == "all"
                assert number == ("all" if section == "KEYS" and number == "all" else str(len(found)))
            elif section == "RETURNS":
                (answer,) = re.findall(r"^   \{'(\w+)'([^}]*)\}", line)
                assert answer[0] not in header.returns
                header.returns[answer[0]] = answer[1].replace(",", " ").split()
            elif section == "WRITES" and words != ["nothing"]:
                if named := re.match(r"   ([a-z, ]+): ", line):
                    keys, words = named[1].split(", "), line[named.end() :].split()
                header.writes.update({key: header.writes.get(key, set()) | {*words} for key in keys})
        assert not header.takes_any_number_of_keys or len(header.keys) == 1
        return header

    @cached_property
    def calls(self) -> list[list[str]]:
        """The arguments of each `redis.call`, as source text."""
        starts = [match.end() for match in re.finditer(r"redis\.call\(", self.body)]
        return [parts(self.body[start:]) for start in starts]

    @property
    def commands(self) -> list[str]:
        """The command of each call in source order; an expression that is not a text literal is in brackets."""
        return [call[0][1:-1] if re.fullmatch(r"'[A-Z]+'", call[0]) else f"({call[0]})" for call in self.calls]

    @property
    def is_of_a_job(self) -> bool:
        """True if the script works on a job's keys, False if on an index."""
        return self.header.keys == JOB

    @cached_property
    def arguments(self) -> dict[str, str]:
        """The locals computed from ARGV: name -> expression."""
        found = {}
        for names, values in re.findall(r"^local ([\w, ]+) = (.*ARGV\[.*)$", self.body, re.MULTILINE):
            pairs = zip(names.split(", "), parts(values + ")"), strict=True)
            found.update({name: value for name, value in pairs if "ARGV[" in value})
        return found

    def names_of(self, key: str) -> list[str]:
        """Returns the header's names for `key`, which is an element such as `KEYS[1]` or a loop variable."""
        names = [name for name, _ in self.header.keys]
        loops: dict[str, list[str]] = {"key": names, "KEYS[list]": names[1:]}
        return loops[key] if key in loops else [names[int(key.removeprefix("KEYS[").removesuffix("]")) - 1]]


def parts(text: str) -> list[str]:
    """Returns the text up to the closing bracket, split at the commas outside of inner brackets."""
    found, depth = "", 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            break
        found += "\0" if letter == "," and depth == 0 else letter
    return [part.strip() for part in found.split("\0")]


VERBS = sorted(path.stem for path in FOLDER.glob("*.lua"))
SOURCES = {verb: Source(verb) for verb in VERBS}
