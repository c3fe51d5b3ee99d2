"""A script's text, taken apart: what its header says, what its body does."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from batchstatus import scripts

FOLDER = Path(scripts.__file__).parent / "lua"


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
            elif section == "WRITES" and words != ["nothing"]:
                if named := re.match(r"   ([a-z, ]+): ", line):
                    keys, words = named[1].split(", "), line[named.end() :].split()
                header.writes.update({key: header.writes.get(key, set()) | {*words} for key in keys})
        return header

    @cached_property
    def calls(self) -> list[list[str]]:
        """The arguments of each `redis.call`, as they are written."""
        starts = [match.end() for match in re.finditer(r"redis\.call\(", self.body)]
        return [parts(self.body[start:]) for start in starts]

    @property
    def is_of_a_job(self) -> bool:
        """Whether it works on a job's keys; else on the lease index."""
        return self.header.keys[0][0] == "job"

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
