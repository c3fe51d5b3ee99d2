"""Runs the benchmarks, each question on an empty Valkey of its own, and prints the tables as they come."""

import argparse
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from batchstatus import connect
from batchstatus.embedded import EmbeddedServer
from bench.questions import (
    answers,
    events,
    failures,
    following,
    history,
    memory,
    parts,
    polls,
    rows,
    sidecar,
    telling,
    tracking,
    trips,
    waiting,
)
from bench.report.figures import Answer, Table
from bench.report.machine import facts
from bench.report.results import Chapter, save
from bench.tools.setting import Setting

HERE = Path(__file__).parent
MODULES = (
    *(polls, answers, rows, parts, tracking, sidecar, trips, memory),
    *(history, failures, waiting, events, following, telling),
)
QUESTIONS = {module.__name__.rpartition(".")[2]: module for module in MODULES}


def main() -> None:
    """Measure and print; save with `--save`."""
    arguments = _arguments()
    about = facts(arguments.peers_python)
    print("\n".join(f"{name}: {fact}" for name, fact in about.items()))
    chapters = []
    for name in arguments.only:
        started = time.monotonic()
        chapters.append(Chapter(name, QUESTIONS[name].__doc__ or "", []))
        for answer in _ask(name, arguments.peers_python, arguments.quick):
            chapters[-1].answers.append(answer)
            if isinstance(answer, Table):
                print(f"\n{answer.text()}", flush=True)
        print(f"\n({name}: {time.monotonic() - started:.0f} s)", flush=True)
    if arguments.save:
        save(arguments.save, about, chapters)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", required=True, help="a Python that has bench/peers/requirements.txt")
    parser.add_argument("--only", type=_names, default=list(QUESTIONS), help=f"some of {','.join(QUESTIONS)}")
    parser.add_argument("--quick", action="store_true", help="a small scale of everything, in about two minutes")
    parser.add_argument(
        "--save", nargs="?", type=Path, const=HERE, help="write RESULTS.md and plots/, here or into a directory"
    )
    arguments = parser.parse_args()
    if arguments.save == HERE and (arguments.quick or len(arguments.only) < len(QUESTIONS)):
        parser.error("only a full run is saved here; name another directory: --save DIR")
    return arguments


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in QUESTIONS]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return names


def _ask(name: str, peers_python: str, quick: bool) -> Iterator[Answer]:
    """Measure one question on an empty store."""
    with EmbeddedServer() as server, closing(connect(server.url)) as store:
        yield from QUESTIONS[name].measure(Setting(store, server.url, peers_python, quick))
