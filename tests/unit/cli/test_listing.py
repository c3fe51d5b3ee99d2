"""`history` and `keys list` on terminals of 60 columns and more, and as scripts read them."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from batchstatus import Job
from batchstatus.apikeys import ApiKey
from batchstatus.cli.keys import print_keys
from batchstatus.cli.terminal.listing import print_jobs
from batchstatus.tickets import Ticket
from tests.unit.cli.jobs import JOB_ID, NOW, STATES, job
from tests.unit.cli.test_words import HOSTILE

WIDTHS = (60, 80, 120)
JOBS = [of for of, _ in STATES.values()]
KEY = ApiKey(
    "org_acme.0123456789ab", "org_acme", frozenset({"transactions:create", "events:create"}), "importer", NOW, None
)
TICKET = Ticket("org_acme.0123456789ad", "org_acme", JOB_ID, NOW, NOW + timedelta(hours=20))


def printed(width: int, show: Callable[[Console], None]) -> list[str]:
    """The lines on a terminal of this width, without colours."""
    file = io.StringIO()
    show(Console(file=file, width=width, force_terminal=True, color_system=None))
    lines = file.getvalue().splitlines()
    assert all(cell_len(line) <= width for line in lines), lines
    return [line.rstrip() for line in lines]


def history(width: int, *jobs: Job) -> list[str]:
    return printed(width, lambda console: print_jobs(jobs, console))


@pytest.mark.parametrize("width", WIDTHS)
def test_each_job_has_two_lines_and_an_id_to_copy(width: int) -> None:
    lines = history(width, *JOBS)
    assert len(lines) == 2 * len(JOBS)
    assert all(line.startswith("november.csv  ") for line in lines[::2])
    assert all(line.split()[:3] == [JOB_ID, "2026-11-27", "14:02Z"] for line in lines[1::2])


def test_80_columns_have_all_of_a_job() -> None:
    first, second = history(80, job())
    assert first.split("  ", 1)[1].split() == ["running", "412/1,000", "3", "failed"]
    assert second == f"  {JOB_ID}  2026-11-27 14:02Z  transaction_batch"


def test_columns_stand_one_below_the_other() -> None:
    lines = history(80, *JOBS)[::2]
    assert (
        len({line.index(word) for line, (_, word) in zip(lines, STATES.values(), strict=True) if word in line})
        == 1
    )


@pytest.mark.parametrize(
    "name",
    [text for text, _ in HOSTILE.values()] + ["十一月の取引データ一覧表最終版.csv" * 3],
    ids=[*HOSTILE, "wide"],
)
def test_no_name_breaks_a_line(name: str) -> None:
    for width in WIDTHS:
        first, second = history(width, job(name))
        assert (first + second).isprintable()
        assert "running" in first


def test_an_empty_page_says_so_on_a_terminal() -> None:
    assert history(80) == ["There are no such jobs."]


def test_scripts_read_a_job_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_jobs([job("a name.csv"), job(None)])
    start = f"2026-11-27T14:02:00.000Z  transaction_batch  {JOB_ID}: running, 412 of 1,000 rows: 409 succeeded"
    named, nameless = capsys.readouterr().out.splitlines()
    assert named.startswith(start)
    assert named == f"{nameless}  a name.csv"


# keys list


@pytest.mark.parametrize("width", WIDTHS)
def test_keys_have_a_name_times_and_permissions(width: int) -> None:
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=89.9)
    short_lived = ApiKey("org_acme.0123456789ac", "org_acme", frozenset({"jobs:run"}), None, NOW, expires_at)
    ticket = replace(TICKET, expires_at=now + timedelta(hours=20))
    lines = printed(width, lambda console: print_keys([KEY, short_lived], [ticket], console))
    text = " ".join(" ".join(lines).split())
    for said in (
        "importer created 2026-11-27 does not expire org_acme.0123456789ab events:create transactions:create",
        "no name created 2026-11-27 expires in 90 d org_acme.0123456789ac jobs:run",
        f"ticket created 2026-11-27 expires in 20 h org_acme.0123456789ad reads job {JOB_ID}",
    ):
        assert said in text
    assert len(lines) == (6 if width > 60 else 7)  # the second line may be too long


def test_scripts_read_a_key_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_keys([KEY], [TICKET])
    key, ticket = capsys.readouterr().out.splitlines()
    created = "created 2026-11-27T14:03:00.000Z"
    assert key == f"{KEY.id}  events:create transactions:create  does not expire  {created}  importer"
    assert ticket == f"{TICKET.id}  ticket for job {JOB_ID}  expires 2026-11-28T10:03:00.000Z  {created}"
