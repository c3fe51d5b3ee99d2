"""A whole import, against a store that checks each report and kills the importer on time."""

import sqlite3
from argparse import Namespace
from collections import Counter
from contextlib import closing
from types import SimpleNamespace

import pytest

import batchstatus
from tests.unit.examples.modules import GOOD, KINDS, STRANGER, importing, make_samples


class Killed(BaseException):
    """Stands for `kill -9`: nothing that runs afterwards may count."""


class FakeStore:
    """Keeps a job as the real one does, looks into the database at each report, and kills the worker on time."""

    def __init__(self, database, table):
        self.database = database
        self.table = table
        self.checkpoint = None
        self.reports = Counter()
        self.total_items = None
        self.kill_at = None
        self.uncovered = Counter()

    def run(self, org, job_id, wait_s):
        return self

    def __enter__(self):
        self.uncovered = Counter()  # a takeover returns to the checkpoint
        return self

    def __exit__(self, *_):
        return None

    def total(self, n):
        self.total_items = n

    def check(self):
        pass

    def succeeded(self, n, checkpoint):
        rows = f"FROM {self.table} WHERE row_number > ? AND row_number <= ?"
        with closing(sqlite3.connect(self.database)) as other:
            [(found,)] = other.execute(f"SELECT count(*) {rows}", [self.checkpoint or 0, checkpoint])
        assert found == n, "a row must be committed before it is reported"
        self.count("succeeded", n)
        assert checkpoint == (self.checkpoint or 0) + self.uncovered.total()
        self.checkpoint = checkpoint
        self.reports += self.uncovered
        self.uncovered = Counter()

    def failed(self, row):
        self.count(row["code"])

    skipped = failed

    def count(self, outcome, n=1):
        before = (self.checkpoint or 0) + self.uncovered.total()
        if self.kill_at and before < self.kill_at <= before + n:
            raise Killed
        self.uncovered[outcome] += n


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs an importer on a file that is made small, against a store that is none."""
    monkeypatch.setattr(importing, "BATCH_ROWS", 50)
    make_samples.make(tmp_path, seed=1, transactions=1_200, entities=600, events=600)

    def runs(kind, name, kill_at=(), file=None):
        database = tmp_path / f"{name}.sqlite"
        store = FakeStore(database, kind)
        monkeypatch.setattr(batchstatus, "connect", lambda *_, **__: store)
        args = Namespace(
            file=file or tmp_path / f"{kind}.csv", entities=tmp_path / "entities.csv", database=database,
            org="org_acme", job="job-1", redis_url="redis://", lease_s=30.0, wait_s=0.0, rate=0.0,
        )  # fmt: skip
        for store.kill_at in kill_at:
            with pytest.raises(Killed):
                importing.run_job(KINDS[kind], args)
        store.kill_at = None
        importing.run_job(KINDS[kind], args)
        with closing(sqlite3.connect(database)) as connection:
            stored = connection.execute(f"SELECT * FROM {kind} ORDER BY row_number").fetchall()
        return SimpleNamespace(store=store, stored=stored)

    return runs


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_and_resumed_import_ends_like_an_undisturbed_one(run, kind):
    undisturbed = run(kind, "undisturbed")
    killed = run(kind, "killed", kill_at=(1, 77, 200, 201, 599))
    assert killed.store.reports == undisturbed.store.reports
    assert killed.stored == undisturbed.stored


def test_every_row_is_reported_and_the_total_is_the_number_of_records(run):
    done = run("transactions", "all")
    assert done.store.total_items == done.store.reports.total() == done.store.checkpoint == 1_200


def test_the_last_line_tells_the_counters(run, capsys):
    done = run("user_events", "told")
    succeeded = done.store.reports["succeeded"]
    told = f"user_events.csv: 600 of 600 rows: {succeeded} succeeded, {600 - succeeded} failed, 0 skipped\n"
    assert capsys.readouterr().out == told


def test_a_file_without_a_known_entity_aborts_the_job(run, tmp_path):
    strangers = tmp_path / "strangers.csv"
    strangers.write_text(",".join(GOOD["transactions"]) + f"\nT-1,{STRANGER},,,,,,\n")
    with pytest.raises(batchstatus.JobAborted) as raised:
        run("transactions", "strangers", file=strangers)
    assert raised.value.code == "INVALID_ENTITY_REFERENCES"


def test_a_file_without_rows_has_a_total_of_0(run, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text(",".join(GOOD["transactions"]) + "\n")
    assert run("transactions", "empty", file=empty).store.total_items == 0


def test_an_error_is_printed_as_one_line(monkeypatch, tmp_path):
    options = ["--org", "o", "--job", "j", "--database", str(tmp_path / "d"), "--redis-url", "redis://x"]
    monkeypatch.setattr("sys.argv", ["import_entities.py", "missing.csv", *options])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit, match=r"^error: .*missing\.csv'$"):
        importing.main(KINDS["entities"])


def test_a_cancel_is_looked_for_after_each_batch(run, monkeypatch):
    checks = []

    def check(store):
        checks.append(store.checkpoint)
        if len(checks) == 3:
            raise Killed

    monkeypatch.setattr(FakeStore, "check", check)
    with pytest.raises(Killed):
        run("transactions", "cancelled")
    assert checks == [None, 50, 100]
