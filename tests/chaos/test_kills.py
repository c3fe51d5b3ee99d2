"""Workers killed with SIGKILL while reporting: after a takeover the counters are exact."""

from pathlib import Path

import pytest

import batchstatus
from tests.chaos.importing_files import MIXES, OPTIONS, import_with_kills, write_rows
from tests.chaos.killing import Killing
from tests.chaos.parts import parts_killed

KILLS = 50
ROWS, KILLS_OF_ONE = 21_594, 10


@pytest.mark.slow
def test_fifty_workers_killed_while_they_report_leave_exact_counters(redis_url: str) -> None:
    killing = Killing(redis_url)
    found = killing.finding(KILLS)
    assert found.lost == ()
    assert len(killing.killed) == KILLS + len(range(0, KILLS, 4))  # some jobs' workers twice in a row


@pytest.mark.slow
def test_eight_workers_on_one_job_of_which_some_are_killed_count_each_row_once(redis_url: str) -> None:
    found = parts_killed(redis_url, 6)
    assert (found.lost, found.wrong) == ((), ())


@pytest.mark.slow
@pytest.mark.parametrize("mix", MIXES)
def test_a_file_whose_importer_is_killed_ten_times_is_counted_and_imported_once(
    redis_url: str, tmp_path: Path, mix: str
) -> None:
    path = tmp_path / "flights.csv"
    write_rows(path, ROWS)
    store = batchstatus.connect(redis_url, **OPTIONS)
    assert import_with_kills(store, redis_url, path, tmp_path, MIXES[mix], KILLS_OF_ONE) == []
    store.close()
