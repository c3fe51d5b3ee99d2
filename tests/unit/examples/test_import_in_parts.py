"""The importer of one part: each line of the file belongs to one part, wherever the file is cut."""

import sqlite3
from argparse import Namespace
from contextlib import closing
from itertools import count

import pytest

from batchstatus import Run
from batchstatus.store import JobStore
from tests.unit.examples.modules import import_in_parts

HEADER = "external_id,cents\n"
ROWS = [("A-1", "1"), ("B-22222222222", "20"), ("Ñandú", "-3"), ("C", "x"), ('"D,4"', "4"), ("E-555555", "1e5")]
BAD = {
    "C": "invalid literal for int() with base 10: 'x'",
    "E-555555": "invalid literal for int() with base 10: '1e5'",
}
GOOD = {"A-1": 1, "B-22222222222": 20, "Ñandú": -3, "D,4": 4}
TEXT = HEADER + "".join(f"{name},{cents}\n" for name, cents in ROWS)


@pytest.fixture
def importing(fake_client, tmp_path):
    """Splits a job of a file into parts, and imports parts of it."""
    file, store, numbers = tmp_path / "payments.csv", JobStore(fake_client), count()

    class Importing:
        def __init__(self, text, parts):
            file.write_text(text, newline="")
            job = store.create("org_acme", "transaction_batch", parts=parts, takeover_s=60)
            self.job_id, self.database = job.job_id, tmp_path / f"{next(numbers)}.sqlite"

        def run(self, part):
            args = Namespace(
                file=file, database=self.database, org="org_acme", job=self.job_id, part=part, wait_s=0, rate=0
            )
            import_in_parts.import_part(store, args)

        @property
        def job(self):
            return store.get("org_acme", self.job_id)

        @property
        def failures(self):
            return {row["externalId"]: row["message"] for row in store.failures("org_acme", self.job_id)}

        @property
        def stored(self):
            with closing(sqlite3.connect(self.database)) as database:
                return dict(database.execute("SELECT * FROM payments"))

    return Importing


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.removesuffix("\n"), TEXT.replace("\n", "\r\n")], ids=["LF", "no end", "CRLF"]
)
@pytest.mark.parametrize("parts", [2, 3, 7, 150])
def test_each_line_is_imported_once_however_many_parts_there_are(importing, text, parts):
    done = importing(text, parts)
    for part in range(1, parts + 1):
        done.run(part)
    assert done.job.state == "completed"
    assert (done.job.succeeded, done.job.failed, done.job.total_items) == (len(GOOD), len(BAD), len(ROWS))
    assert (done.stored, done.failures) == (GOOD, BAD)


def test_a_file_without_rows_completes(importing):
    done = importing(HEADER, 2)
    for part in (2, 1):
        done.run(part)
    assert (done.job.state, done.job.total_items, done.stored) == ("completed", 0, {})


def test_a_row_with_other_cells_is_rejected_and_named_as_far_as_it_has_a_name(importing):
    done = importing(HEADER + "A,1,more\n\nB,2\n", 2)
    for part in (1, 2):
        done.run(part)
    assert set(done.failures) == {"A", None}
    assert (done.job.succeeded, done.stored) == (1, {"B": 2})


def test_a_part_that_is_stopped_goes_on_after_its_last_commit(importing, monkeypatch):
    monkeypatch.setattr(import_in_parts, "COMMIT_ROWS", 10)
    done = importing(HEADER + "".join(f"{number},{number}\n" for number in range(100)), 2)
    checks, check = count(), Run.check

    def stop(run):
        check(run)
        if next(checks) == 3:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Run, "check", stop)
        with pytest.raises(SystemExit):
            done.run(1)
    assert (done.job.succeeded, len(done.stored)) == (30, 30)
    committed = []
    store_rows = import_in_parts.store_rows
    monkeypatch.setattr(
        import_in_parts,
        "store_rows",
        lambda database, batch: committed.append(batch) or store_rows(database, batch),
    )
    for part in (1, 2):
        done.run(part)
    assert committed[0][0] == b"30,30\n"
    assert sum(map(len, committed)) == 70
    assert (done.job.state, done.job.succeeded) == ("completed", 100)
    assert done.stored == {str(number): number for number in range(100)}
