"""The users that docs/operations.md tells people to make, as it says so: read from the document."""

import re
import shlex
from pathlib import Path

import redis

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
USER, PASSWORD = "batchstatus", "PASSWORD"
_COMMAND = re.compile(r"^redis-cli ACL SETUSER batchstatus (.*?)^```", re.MULTILINE | re.DOTALL)


def documented_rule() -> list[str]:
    """The words of the rule that covers all, for a single server."""
    found = _COMMAND.search(DOCUMENT.read_text())
    assert found
    return shlex.split(found[1].replace("\\\n", " "))


def documented_addition(condition: str) -> list[str]:
    """What the rule needs besides under a condition, such as `With a database other than 0`."""
    text = " ".join(DOCUMENT.read_text().split())
    found = re.search(re.escape(condition) + r": `([^`]+)`", text)
    assert found, condition
    return found[1].split()


def documented_keys(whose: str) -> list[str]:
    """The keys, in place of all, that are said to be enough in the sentence with these words."""
    text = " ".join(DOCUMENT.read_text().split())
    sentence = next(each for each in re.split(r"[.:;] ", text) if whose in each)
    patterns = (each.split() for each in re.findall(r"`([^`]+)`", sentence))
    return next(each for each in patterns if len(each) > 1)


def with_keys(rule: list[str], keys: list[str]) -> list[str]:
    """The rule, for these keys only."""
    return [word for word in rule if "~" not in word] + keys


def make_user(client: "redis.Redis", rule: list[str]) -> None:
    """Make the user on a server, with this rule and nothing from before."""
    client.execute_command("ACL", "SETUSER", USER, "reset", *rule)


def as_user(url: str) -> str:
    """The store's URL, for this user."""
    return url.replace("://", f"://{USER}:{PASSWORD}@", 1)
