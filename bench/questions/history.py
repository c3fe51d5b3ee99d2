"""Server CPU of a page of history with 10³ to 10⁶ jobs in one organization, and of a poll beside it.

CPU is user and system time of the service's processes, divided by the requests; the kinds of page take turns,
figures are medians. Minutes pass between two sizes, and the machine may become faster or slower meanwhile: so each
round repeats the requests for an organization with 1,000 jobs in the same store, and the ratio is to that.
Commands are those that the store's server runs for one request, by its own count, while the service's application
answers in this process, where no reaper runs. The jobs are written straight into the store (`filling.py`).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple
from urllib.parse import urlencode

from batchstatus.model.job import MAX_PAGE
from batchstatus.web import create_app
from bench.report.figures import Answer, Lines, Table
from bench.tools.counting import ServerCount
from bench.tools.filling import ONE_IN, Filler, id_of
from bench.tools.setting import Cost, Setting, cost, typical

LIMIT, CONNECTIONS = 20, 8
RARE = 100
"""The number of jobs with the requested status, at every size."""
ROUTE = "/batch-import/jobs"


class Compared(NamedTuple):
    """The cost of a request, and its ratio to the cost with a thousand jobs."""

    cost: Cost
    ratio: float


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table and a plot."""
    sizes = setting.scaled([10**n for n in range(3, 7)], [10**3, 10**4])
    filler, beside = Filler(setting.store, setting.url), replace(setting, org="org_small")
    small = Filler(setting.store, setting.url, beside.org)
    small.fill(sizes[0])
    of_small = _requests(beside, _asked(beside, small))
    found: dict[str, dict[int, Compared]] = defaultdict(dict)
    commands: dict[str, dict[int, int]] = defaultdict(dict)
    for size in sizes:
        filler.fill(size)
        asked = _asked(setting, filler)
        for name, paths in asked.items():
            commands[name][size] = _commands(setting, paths[0])
        for name, compared in _compared(setting, _requests(setting, asked), of_small).items():
            found[name][size] = compared
    yield _table(sizes, found, commands)
    lines = {name: {size: each.cost.cpu_us for size, each in taken.items()} for name, taken in found.items()}
    yield Lines("history", "A page of history", "jobs of the organization", "server CPU per request (µs)", lines)


def _asked(setting: Setting, filler: Filler) -> dict[str, list[str]]:
    """Returns the paths by the kind of page."""
    status = next(status for status, many in ONE_IN.items() if filler.jobs == many * RARE)
    middle = datetime.fromtimestamp(filler.created_ms(filler.jobs // 2) / 1000, UTC)
    asked = {
        "first page": {},
        "1,000th page": {"cursor": _cursor(setting, min(1_000, filler.jobs // LIMIT))},
        "kind=": {"kind": "transaction_batch"},
        f"status=, {RARE} of the jobs": {"status": status},
        "createdBefore= the middle": {"createdBefore": middle.isoformat()},
        f"ids=, {LIMIT} of them": {"ids": ",".join(_spread(filler, LIMIT))},
    }
    pages = {name: [f"{ROUTE}?{urlencode(query, safe=',:')}"] for name, query in asked.items()}
    return {"poll": [f"{ROUTE}/{job_id}" for job_id in _spread(filler, 64)], **pages}


def _spread(filler: Filler, many: int) -> list[str]:
    """Returns the ids of `many` jobs, spread from the newest to the oldest."""
    return [id_of(number * filler.jobs // many) for number in range(many)]


def _cursor(setting: Setting, page: int) -> str | None:
    """Returns the cursor of a page, by reading the pages before in larger steps."""
    cursor, left = None, (page - 1) * LIMIT
    while left:
        found = setting.store.list(setting.org, limit=min(left, MAX_PAGE), cursor=cursor)
        cursor, left = found.next_cursor, left - len(found.jobs)
    return cursor


def _requests(setting: Setting, asked: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: [*map(setting.request, paths)] for name, paths in asked.items()}


def _compared(
    setting: Setting, asked: dict[str, list[str]], of_small: dict[str, list[str]]
) -> dict[str, Compared]:
    found: dict[str, list[tuple[Cost, Cost]]] = defaultdict(list)
    with setting.serve() as served:
        for _ in range(setting.scaled(5, 1)):
            for name in asked:
                total = setting.scaled(2_000, 500) if name == "poll" else setting.scaled(200, 100)
                here, there = (cost(served, each[name], total, CONNECTIONS) for each in (asked, of_small))
                found[name].append((here, there))
    return {
        name: Compared(
            typical([here for here, _ in pairs]), median(here.cpu_us / there.cpu_us for here, there in pairs)
        )
        for name, pairs in found.items()
    }


def _commands(setting: Setting, path: str) -> int:
    """Returns the number of commands for one request, once the API key is cached."""
    service, headers = create_app(setting.store).test_client(), {"Authorization": f"Bearer {setting.api_key}"}
    for _ in range(2):
        count = ServerCount(setting.url)
        assert service.get(path, headers=headers).status_code == 200
    return count.done().commands.total()


def _table(sizes: list[int], found: dict[str, dict[int, Compared]], commands: dict[str, dict[int, int]]) -> Table:
    least, most = sizes[0], sizes[-1]
    rows = [
        (
            name,
            *(taken[size].cost.cpu_us for size in sizes),
            taken[most].ratio,
            f"{commands[name][least]:,} → {commands[name][most]:,}",
            f"{taken[least].cost.p99_ms:,.1f} → {taken[most].cost.p99_ms:,.1f}",
        )
        for name, taken in found.items()
    ]
    columns = {"request": "", **{f"{size:,} jobs, CPU µs": ",.0f" for size in sizes}}
    columns |= {"ratio": ".2f", "commands": "", "p99 ms": ""}
    note = (
        f"{LIMIT} jobs a page. Ratio, commands and p99 are from {least:,} to {most:,} jobs. Where there are no "
        f"1,000 pages the last one is read. The {RARE} jobs of the status are spread over all: of 1,000,000 they "
        "are 0.01 %."
    )
    return Table(f"History, {CONNECTIONS} connections", columns, rows, note)
