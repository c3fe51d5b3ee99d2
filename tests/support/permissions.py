"""The Redis users that docs/operations.md recommends, read from that document."""

import re
import shlex
from pathlib import Path

import redis

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
USER, PASSWORD = "batchstatus", "PASSWORD"
_COMMAND = re.compile(r"^redis-cli ACL SETUSER batchstatus (.*?)^```", re.MULTILINE | re.DOTALL)


def documented_rule() -> list[str]:
    """Returns the words of the ACL rule for a single server."""
    found = _COMMAND.search(DOCUMENT.read_text())
    assert found
    return shlex.split(found[1].replace("\\\n", " "))


def documented_addition(condition: str) -> list[str]:
    """Returns the words to add under a condition, such as `With a database other than 0`."""
    text = " ".join(DOCUMENT.read_text().split())
    found = re.search(re.escape(condition) + r": `([^`]+)`", text)
    assert found, condition
    return found[1].split()


def documented_keys(whose: str) -> list[str]:
    """Returns the narrower key patterns in the sentence that contains the text `whose`."""
    text = " ".join(DOCUMENT.read_text().split())
    sentence = next(each for each in re.split(r"[.:;] ", text) if whose in each)
    patterns = (each.split() for each in re.findall(r"`([^`]+)`", sentence))
    return next(each for each in patterns if len(each) > 1)


def with_keys(rule: list[str], keys: list[str]) -> list[str]:
    """Returns the rule with these key patterns instead of its own."""
    return [word for word in rule if "~" not in word] + keys


def make_user(client: "redis.Redis", rule: list[str]) -> None:
    """Create the user on a server with exactly this rule."""
    client.execute_command("ACL", "SETUSER", USER, "reset", *rule)


def as_user(url: str) -> str:
    """Returns the store's URL with the user's name and password."""
    return url.replace("://", f"://{USER}:{PASSWORD}@", 1)
