"""The command: `python -m batchstatus.conformance -- node worker.mjs`. It prints one line a rule."""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from batchstatus.conformance.rules import RULES
from batchstatus.conformance.scene import Broken, Scene
from batchstatus.embedded import EmbeddedServer
from batchstatus.model.errors import BatchStatusError, StoreUnavailable


def main(arguments: Sequence[str] | None = None) -> int:
    """Put the command through the rules. Returns 0 if it keeps all, 1 if not, 2 without a server."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    rules = [name for name in asked.only or RULES if name not in asked.without]
    if not rules:
        parser.error("--without leaves no rule")
    try:
        return _tell(rules, asked.command, max(1, asked.at_once))
    except StoreUnavailable as error:
        print(f"batchstatus.conformance: {error}", file=sys.stderr)
        return 2


def _tell(rules: Sequence[str], command: Sequence[str], at_once: int) -> int:
    """Print one line a rule. Returns 0 if the command keeps them all, else 1.

    What fails beside other rules is tried once more, alone: rules are about time too, and a busy machine breaks
    those.
    """
    with tempfile.TemporaryDirectory() as folder:
        reason_of = partial(_broken, command=command, folder=Path(folder))
        with ThreadPoolExecutor(at_once) as pool:
            failed = _failed(rules, pool.map(reason_of, rules), is_last=at_once == 1)
        if at_once > 1:
            failed = _failed(failed, map(reason_of, failed), is_last=True)
    return 1 if failed else 0


def _failed(rules: Sequence[str], reasons: Iterable[str | None], *, is_last: bool) -> list[str]:
    """Print a line for each rule, and return those that failed, without a line unless this `is_last`."""
    width, failed = max(map(len, RULES)), []
    for name, reason in zip(rules, reasons, strict=True):
        if reason is None:
            print(f"passed  {name:{width}}  {_promise(name)}", flush=True)
            continue
        failed.append(name)
        if is_last:
            print(f"FAILED  {name:{width}}  {reason}", flush=True)
    return failed


def _parser() -> argparse.ArgumentParser:
    rules = "\n".join(f"  {name:22} {_promise(name)}" for name in RULES)
    parser = argparse.ArgumentParser(
        "python -m batchstatus.conformance",
        description="Puts a worker through the Redis protocol, on a Valkey of its own. The variables WORKER_…\n"
        "tell the worker what to do; docs/redis-protocol.md describes them.",
        epilog=f"rules:\n{rules}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", action="append", choices=RULES, metavar="RULE", help="this rule; may be repeated"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=RULES,
        metavar="RULE",
        help="all but this one, such as creates for a worker that creates no jobs; may be repeated",
    )
    parser.add_argument(
        "--at-once", type=int, default=4, metavar="N", help="how many rules at a time (default: 4)"
    )
    parser.add_argument("command", nargs="+", help="the worker's command, after --")
    return parser


def _broken(name: str, command: Sequence[str], folder: Path) -> str | None:
    """Returns how the worker breaks the rule; None if it keeps it."""
    with EmbeddedServer() as server, closing(Scene(server.url, command, folder)) as scene:
        try:
            RULES[name](scene)
        except (Broken, BatchStatusError, OSError) as error:
            return f"{error} (rule: {_promise(name)} The worker said: {scene.said()})"
    return None


def _promise(name: str) -> str:
    return (RULES[name].__doc__ or "").strip()


if __name__ == "__main__":
    sys.exit(main())
