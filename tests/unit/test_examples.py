"""The examples: samples that can be made again, validators that give the right code, rows written once."""

import functools
import importlib
import re
import sqlite3
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import pytest

import batchstatus

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLES = EXAMPLES / "samples"

with pytest.MonkeyPatch.context() as patch:  # scripts in `examples` import each other by their bare names
    patch.syspath_prepend(EXAMPLES)
    make_samples, fields, records, importing, transactions, entities, user_events = map(
        importlib.import_module,
        (
            "make_samples",
            "fields",
            "records",
            "importing",
            "import_transactions",
            "import_entities",
            "import_user_events",
        ),
    )

KINDS = {
    "transactions": transactions.Transactions,
    "entities": entities.Entities,
    "user_events": user_events.UserEvents,
}
PERSON, COMPANY, STRANGER = "10187109006", "20323711756", "20900000007"
GOOD = {
    "transactions": {
        "external_id": "T-1",
        "entity_tax_id": PERSON,
        "booked_at": "2026-03-01T09:30:00Z",
        "amount": "1250.00",
        "currency": "USD",
        "direction": "credit",
        "counterparty": "Café Lima ☕",
        "description": "",
    },
    "entities": {
        "external_id": "E-1",
        "tax_id": PERSON,
        "type": "person",
        "name": "李 秀英",
        "country": "PE",
        "onboarded_on": "2020-02-29",
    },
    "user_events": {
        "entity_tax_id": PERSON,
        "user_id": "user-1",
        "type": "login",
        "occurred_at": "2026-03-01T09:30:00-05:00",
        "ip": "2001:db8::1",
        "device": "",
    },
}


@pytest.fixture(scope="module")
def importer():
    """Makes importers, each with a database of its own unless one is given."""
    with ExitStack() as opened:

        def made(kind, database=None, job_id="job-1", known=frozenset({PERSON, COMPANY})):
            if database is None:
                database = opened.enter_context(closing(sqlite3.connect(":memory:")))
            return KINDS[kind](database, job_id, known)

        yield made


def record(kind, number=1, *, fits=True, **changed):
    return records.Record(number, number + 1, GOOD[kind] | changed, fits)


@functools.cache
def sample(kind):
    with records.open_csv(SAMPLES / f"{kind}.csv") as file:
        return list(records.read(file, KINDS[kind].columns))


def code(rejected):
    return rejected.code if rejected else "ok"


def codes(an_importer, *batch):
    return [code(rejected) for rejected in an_importer.import_batch(batch)]


def table(an_importer, kind):
    return sorted(an_importer.database.execute(f"SELECT * FROM {kind}").fetchall(), key=repr)


# The samples


def test_the_generator_makes_the_committed_samples_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_samples.py", "--out", str(tmp_path)])
    make_samples.main()
    for kind in KINDS:
        assert (tmp_path / f"{kind}.csv").read_bytes() == (SAMPLES / f"{kind}.csv").read_bytes()


def test_another_seed_makes_other_samples(tmp_path, monkeypatch):
    for seed in ("1", "2"):
        options = ["--seed", seed, "--transactions", "9", "--entities", "9", "--events", "9"]
        monkeypatch.setattr("sys.argv", ["make_samples.py", "--out", str(tmp_path / seed), *options])
        make_samples.main()
    for kind in KINDS:
        assert (tmp_path / "1" / f"{kind}.csv").read_bytes() != (tmp_path / "2" / f"{kind}.csv").read_bytes()


def test_more_rows_of_one_kind_leave_the_other_files_alone(tmp_path):
    make_samples.make(tmp_path, seed=1, transactions=7, entities=5_000, events=5_000)
    for kind in ("entities", "user_events"):
        assert (tmp_path / f"{kind}.csv").read_bytes() == (SAMPLES / f"{kind}.csv").read_bytes()


@pytest.mark.parametrize(
    ("kind", "least"), [("transactions", 20_000), ("entities", 5_000), ("user_events", 5_000)]
)
def test_the_samples_are_large_enough(kind, least):
    assert len(sample(kind)) >= least


def test_the_samples_are_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 3_000_000


def test_one_sample_begins_with_a_byte_order_mark():
    assert (SAMPLES / "entities.csv").read_bytes().startswith(b"\xef\xbb\xbf")


SPICE = {
    "a Spanish name": "[áéíóúñ]",
    "a Chinese name": "[\u4e00-\u9fff]",
    "an Arabic name": "[\u0600-\u06ff]",
    "an emoji": "[\U0001f300-\U0001f6ff]",
    "a line break in a cell": "\n",
    "a comma in a cell": ",",
    "a quote in a cell": '"',
    "a value that begins with =": "^=",
    "a value that begins with +": r"^\+",
    "a value that begins with -": "^-",
    "a value that begins with @": "^@",
}


@pytest.mark.parametrize("pattern", SPICE.values(), ids=SPICE)
def test_the_samples_have(pattern):
    assert any(re.search(pattern, cell) for row in sample("transactions") for cell in row.cells.values())


DIRT = {
    "transactions": {
        "no id": ("VALIDATION_ERROR", "external_id: missing"),
        "a formula for an id": ("VALIDATION_ERROR", "external_id: '=HYPERLINK"),
        "a phone number for an id": ("VALIDATION_ERROR", r"external_id: '\+51"),
        "a duplicate id": ("DUPLICATE_EXTERNAL_ID", "another transaction"),
        "no entity": ("VALIDATION_ERROR", "entity_tax_id: missing"),
        "an unknown entity": ("ENTITY_NOT_FOUND", "entity_tax_id: there is no"),
        "a mistyped entity": ("VALIDATION_ERROR", r"entity_tax_id: '\d+'"),
        "no amount": ("VALIDATION_ERROR", "amount: missing"),
        "a decimal comma": ("VALIDATION_ERROR", r"amount: '\d+,\d\d'"),
        "a word for an amount": ("VALIDATION_ERROR", "amount: 'abc'"),
        "a negative amount": ("VALIDATION_ERROR", "amount: '-"),
        "a huge amount": ("VALIDATION_ERROR", "amount: '9999999999999"),
        "an amount of nothing": ("VALIDATION_ERROR", "amount: '0.00'"),
        "an impossible day": ("VALIDATION_ERROR", "booked_at: '2026-02-30"),
        "a day that comes first": ("VALIDATION_ERROR", "booked_at: '31/01"),
        "a time without its zone": ("VALIDATION_ERROR", r"booked_at: '.{19}'"),
        "no time": ("VALIDATION_ERROR", "booked_at: missing"),
        "an unknown currency": ("VALIDATION_ERROR", "currency: '@@@'"),
        "no counterparty": ("VALIDATION_ERROR", "counterparty: missing"),
        "a row of another length": ("VALIDATION_ERROR", "more or fewer cells"),
    },
    "entities": {
        "a duplicate tax id": ("SKIPPED_DUPLICATE_TAX_ID", "earlier row"),
        "a duplicate id": ("DUPLICATE_EXTERNAL_ID", "another entity"),
        "a tax id of the other type": ("TAX_ID_TYPE_MISMATCH", "not the tax id of a"),
        "an unknown type": ("VALIDATION_ERROR", "type: 'trust'"),
        "no tax id": ("VALIDATION_ERROR", "tax_id: missing"),
        "a mistyped tax id": ("VALIDATION_ERROR", r"tax_id: '\d+'"),
        "a formula for a tax id": ("VALIDATION_ERROR", "tax_id: '="),
        "no name": ("VALIDATION_ERROR", "name: missing"),
        "the name of a country": ("VALIDATION_ERROR", "country: 'Perú'"),
        "an impossible day": ("VALIDATION_ERROR", "onboarded_on: '2025-13-01'"),
    },
    "user_events": {
        "no user": ("VALIDATION_ERROR", "user_id: missing"),
        "a mention for a user": ("VALIDATION_ERROR", "user_id: '@"),
        "an unknown entity": ("ENTITY_NOT_FOUND", "entity_tax_id: there is no"),
        "a mistyped entity": ("VALIDATION_ERROR", r"entity_tax_id: '\d+'"),
        "an unknown type": ("VALIDATION_ERROR", "type: 'teleported'"),
        "an impossible hour": ("VALIDATION_ERROR", "occurred_at: '2026-03-01T25"),
        "no time": ("VALIDATION_ERROR", "occurred_at: missing"),
        "an impossible address": ("VALIDATION_ERROR", "ip: '10.0.0.256'"),
    },
}


@pytest.fixture(scope="module")
def judged(importer):
    """What became of each sample row, by kind."""
    known = records.known_entities(SAMPLES / "entities.csv")
    return {kind: importer(kind, known=known).import_batch(sample(kind)) for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "wanted", "message"),
    [
        pytest.param(kind, *found, id=f"{kind}-{name}")
        for kind, dirt in DIRT.items()
        for name, found in dirt.items()
    ],
)
def test_the_samples_have_every_kind_of_dirt_and_it_is_called_by_its_code(judged, kind, wanted, message):
    rejections = [rejected for rejected in judged[kind] if rejected and re.match(f".*{message}", str(rejected))]
    assert rejections
    assert {rejected.code for rejected in rejections} == {wanted}


@pytest.mark.parametrize("kind", KINDS)
def test_no_sample_row_is_dirty_in_a_way_that_nobody_meant(judged, kind):
    meant = [re.compile(f".*{message}") for _, message in DIRT[kind].values()]
    for rejected in filter(None, judged[kind]):
        assert any(pattern.match(str(rejected)) for pattern in meant), rejected


@pytest.mark.parametrize("kind", KINDS)
def test_few_sample_rows_are_dirty(judged, kind):
    dirty = sum(rejected is not None for rejected in judged[kind])
    assert 0.01 < dirty / len(judged[kind]) < 0.03


# The validators


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_row_is_taken(importer, kind):
    assert codes(importer(kind), record(kind)) == ["ok"]


@pytest.mark.parametrize(
    ("kind", "column", "cell", "wanted"),
    [
        ("transactions", "external_id", "", "VALIDATION_ERROR"),
        ("transactions", "external_id", "=1+1", "VALIDATION_ERROR"),
        ("transactions", "external_id", "-1", "VALIDATION_ERROR"),
        ("transactions", "external_id", "T\n1", "VALIDATION_ERROR"),
        ("transactions", "external_id", "x" * 65, "VALIDATION_ERROR"),
        ("transactions", "external_id", "x" * 64, "ok"),
        ("transactions", "entity_tax_id", STRANGER, "ENTITY_NOT_FOUND"),
        ("transactions", "entity_tax_id", "20900000008", "VALIDATION_ERROR"),
        ("transactions", "entity_tax_id", f" {PERSON} ", "ok"),
        ("transactions", "amount", "12,50", "VALIDATION_ERROR"),
        ("transactions", "amount", "abc", "VALIDATION_ERROR"),
        ("transactions", "amount", "-1.00", "VALIDATION_ERROR"),
        ("transactions", "amount", "0", "VALIDATION_ERROR"),
        ("transactions", "amount", "1e9", "VALIDATION_ERROR"),
        ("transactions", "amount", "1_000", "VALIDATION_ERROR"),
        ("transactions", "amount", "NaN", "VALIDATION_ERROR"),
        ("transactions", "amount", "Infinity", "VALIDATION_ERROR"),
        ("transactions", "amount", "١٢", "VALIDATION_ERROR"),
        ("transactions", "amount", "1.005", "VALIDATION_ERROR"),
        ("transactions", "amount", "1000000000000", "VALIDATION_ERROR"),
        ("transactions", "amount", "999999999999.99", "ok"),
        ("transactions", "booked_at", "2026-02-29T00:00:00Z", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "2026-03-01T09:30:00", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "2026-03-01", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "0001-01-01T00:00:00+14:00", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "9999-12-31T23:59:59-05:00", "VALIDATION_ERROR"),
        ("transactions", "currency", "usd", "VALIDATION_ERROR"),
        ("transactions", "direction", "sideways", "VALIDATION_ERROR"),
        ("transactions", "counterparty", "\n", "VALIDATION_ERROR"),
        ("transactions", "counterparty", "x" * 201, "VALIDATION_ERROR"),
        ("transactions", "description", "=SUM(A1:A9)", "ok"),
        ("entities", "tax_id", "2012345678", "VALIDATION_ERROR"),
        ("entities", "tax_id", "30111222333", "VALIDATION_ERROR"),
        ("entities", "tax_id", COMPANY, "TAX_ID_TYPE_MISMATCH"),
        ("entities", "type", "company", "TAX_ID_TYPE_MISMATCH"),
        ("entities", "type", "", "VALIDATION_ERROR"),
        ("entities", "name", "   ", "VALIDATION_ERROR"),
        ("entities", "country", "Peru", "VALIDATION_ERROR"),
        ("entities", "onboarded_on", "2021-02-29", "VALIDATION_ERROR"),
        ("user_events", "user_id", "@anna", "VALIDATION_ERROR"),
        ("user_events", "entity_tax_id", STRANGER, "ENTITY_NOT_FOUND"),
        ("user_events", "type", "teleported", "VALIDATION_ERROR"),
        ("user_events", "occurred_at", "yesterday", "VALIDATION_ERROR"),
        ("user_events", "ip", "10.0.0.256", "VALIDATION_ERROR"),
        ("user_events", "ip", "10.0.0.25", "ok"),
    ],
)
def test_a_cell_is_judged(importer, kind, column, cell, wanted):
    assert codes(importer(kind), record(kind, **{column: cell})) == [wanted]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_another_length_than_the_header_is_not_guessed_at(importer, kind):
    assert codes(importer(kind), record(kind, fits=False)) == ["VALIDATION_ERROR"]


def test_a_long_cell_is_quoted_in_part(importer):
    [rejected] = importer("transactions").import_batch([record("transactions", amount="9" * 5_000)])
    assert len(str(rejected)) < 200


def test_without_a_list_of_entities_every_well_formed_reference_will_do(importer):
    batch = [record("transactions", entity_tax_id=STRANGER), record("transactions", 2, entity_tax_id="nobody")]
    assert codes(importer("transactions", known=None), *batch) == ["ok", "VALIDATION_ERROR"]


def test_an_empty_list_of_entities_knows_nobody(importer):
    assert codes(importer("transactions", known=frozenset()), record("transactions")) == ["ENTITY_NOT_FOUND"]


def test_money_is_kept_in_cents_and_times_in_utc(importer):
    an_importer = importer("transactions")
    an_importer.import_batch([record("transactions", amount="0.29", booked_at="2026-03-01T22:30:00-05:00")])
    stored = an_importer.database.execute("SELECT amount_cents, booked_at FROM transactions").fetchone()
    assert stored == (29, "2026-03-02T03:30:00+00:00")


def test_a_check_digit_is_what_the_tax_office_of_peru_computes():
    assert fields.is_tax_id("20131312955")  # its own, and published
    assert not fields.is_tax_id("20131312954")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("transactions", {"externalId": "T-1"}),
        ("entities", {"taxId": PERSON, "type": "person"}),
        ("user_events", {"rowKey": "row_5"}),
    ],
)
def test_a_row_is_named_as_the_contract_says(importer, kind, name):
    assert importer(kind).name(record(kind, 4)) == name


# Exactly once


@pytest.mark.parametrize("kind", KINDS)
def test_sample_rows_that_are_done_again_have_the_same_outcome_and_are_stored_once(importer, judged, kind):
    an_importer = importer(kind, known=records.known_entities(SAMPLES / "entities.csv"))
    rows = sample(kind)[:5_000]
    for start in range(0, len(rows), 500):
        redone = slice(max(0, start - 700), start + 500)  # as after a crash: from a checkpoint that lags behind
        outcomes = an_importer.import_batch(rows[redone])
        assert list(map(code, outcomes)) == list(map(code, judged[kind][redone]))
    stored = [row[-1] for row in table(an_importer, kind)]
    taken = [row.number for row, rejected in zip(rows, judged[kind], strict=False) if rejected is None]
    assert sorted(stored) == taken


def test_another_transaction_with_the_same_id_is_a_duplicate_however_often_it_is_done(importer):
    an_importer = importer("transactions")
    batch = [record("transactions", 1), record("transactions", 2, amount="7.00")]
    for _ in range(2):
        assert codes(an_importer, *batch) == ["ok", "DUPLICATE_EXTERNAL_ID"]
    assert codes(an_importer, batch[1]) == ["DUPLICATE_EXTERNAL_ID"]
    assert [row[3] for row in table(an_importer, "transactions")] == [125_000]


def test_a_transaction_that_another_job_brought_is_a_duplicate(importer):
    first = importer("transactions")
    second = importer("transactions", first.database, job_id="job-2")
    assert codes(first, record("transactions")) == ["ok"]
    assert codes(second, record("transactions")) == ["DUPLICATE_EXTERNAL_ID"]


def test_two_events_that_are_alike_are_two_events(importer):
    an_importer = importer("user_events")
    assert codes(an_importer, record("user_events", 1), record("user_events", 2)) == ["ok", "ok"]
    assert len(table(an_importer, "user_events")) == 2


def test_an_entity_that_is_there_is_skipped_and_an_id_that_is_taken_is_a_failure(importer):
    an_importer = importer("entities")
    batch = [
        record("entities", 1),
        record("entities", 2, external_id="E-2"),
        record("entities", 3, tax_id=COMPANY, type="company"),
    ]
    for _ in range(2):
        assert codes(an_importer, *batch) == ["ok", "SKIPPED_DUPLICATE_TAX_ID", "DUPLICATE_EXTERNAL_ID"]
    assert len(table(an_importer, "entities")) == 1


def test_an_entity_that_an_earlier_job_brought_is_skipped_for_that_reason(importer):
    first = importer("entities")
    second = importer("entities", first.database, job_id="job-2")
    assert codes(first, record("entities")) == ["ok"]
    assert codes(second, record("entities", 7)) == ["SKIPPED_ENTITY_ALREADY_EXISTS"]


def test_a_row_done_again_is_not_judged_by_rows_that_came_after_it(importer):
    an_importer = importer("entities")
    taken_id = record("entities", 2, tax_id=COMPANY, type="company")
    batch = [
        record("entities", 1),
        taken_id,
        taken_id._replace(number=3, cells=taken_id.cells | {"external_id": "E-3"}),
    ]
    for _ in range(2):
        assert codes(an_importer, *batch) == ["ok", "DUPLICATE_EXTERNAL_ID", "ok"]


# Reading


def read(tmp_path, content, columns=("a", "b")):
    path = tmp_path / "november.csv"
    path.write_bytes(content)
    with records.open_csv(path) as file:
        return list(records.read(file, columns))


def test_a_record_knows_the_line_where_it_starts(tmp_path):
    found = read(tmp_path, b'a,b\n1,"x\ny\nz"\n\n\n2,"p\r\nq"\r\n3,\n')
    assert [(row.number, row.line, row.cells["a"]) for row in found] == [(1, 2, "1"), (2, 7, "2"), (3, 9, "3")]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n")[0].cells == {"a": "1", "b": "2"}


def test_a_row_of_another_length_does_not_fit(tmp_path):
    assert [row.fits for row in read(tmp_path, b"a,b\n1\n1,2\n1,2,3\n")] == [False, True, False]


@pytest.mark.parametrize(
    ("content", "wanted", "message"),
    [
        (b"", "INVALID_HEADER", "november.csv lacks a, b"),
        (b"a,c\n1,2\n", "INVALID_HEADER", "november.csv lacks b"),
        (b'a,b\n1,"2\n3,4\n', "UNREADABLE_FILE", "unexpected end of data"),
        (b"a,b\n1,\xff\n", "UNREADABLE_FILE", "can't decode"),
    ],
    ids=["an empty file", "a missing column", "a quote left open", "another encoding"],
)
def test_a_file_that_is_none_of_ours_fails_the_job(tmp_path, content, wanted, message):
    with pytest.raises(batchstatus.JobAborted, match=message) as raised:
        read(tmp_path, content)
    assert raised.value.code == wanted


def test_known_entities_are_the_well_formed_tax_ids(tmp_path):
    path = tmp_path / "entities.csv"
    path.write_text(f"name,tax_id\nAnna, {PERSON}\nBad,123\nNone,\nLiam,{COMPANY}\n")
    assert records.known_entities(path) == {PERSON, COMPANY}


# The run


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
def test_a_killed_import_that_is_taken_over_ends_like_an_undisturbed_one(run, kind):
    undisturbed = run(kind, "undisturbed")
    killed = run(kind, "killed", kill_at=(1, 77, 200, 201, 599))
    assert killed.store.reports == undisturbed.store.reports
    assert killed.stored == undisturbed.stored


def test_every_row_is_reported_and_the_total_is_the_number_of_records(run):
    done = run("transactions", "all")
    assert done.store.total_items == done.store.reports.total() == done.store.checkpoint == 1_200


def test_a_line_at_the_end_tells_what_became_of_the_rows(run, capsys):
    done = run("user_events", "told")
    succeeded = done.store.reports["succeeded"]
    told = f"user_events.csv: 600 of 600 rows: {succeeded} succeeded, {600 - succeeded} failed, 0 skipped\n"
    assert capsys.readouterr().out == told


def test_a_file_in_which_nobody_is_known_fails_the_job_as_a_whole(run, tmp_path):
    strangers = tmp_path / "strangers.csv"
    strangers.write_text(",".join(GOOD["transactions"]) + f"\nT-1,{STRANGER},,,,,,\n")
    with pytest.raises(batchstatus.JobAborted) as raised:
        run("transactions", "strangers", file=strangers)
    assert raised.value.code == "INVALID_ENTITY_REFERENCES"


def test_a_file_without_rows_is_an_import_of_nothing(run, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text(",".join(GOOD["transactions"]) + "\n")
    assert run("transactions", "empty", file=empty).store.total_items == 0


def test_an_error_is_one_line(monkeypatch, tmp_path):
    options = ["--org", "o", "--job", "j", "--database", str(tmp_path / "d"), "--redis-url", "redis://x"]
    monkeypatch.setattr("sys.argv", ["import_entities.py", "missing.csv", *options])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit, match=r"^error: .*missing\.csv'$"):
        importing.main(KINDS["entities"])


# The pace


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.longest = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.longest = max(self.longest, seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(importing, "time", clock)
    return clock


def test_a_rate_is_kept(clock):
    assert list(importing.paced(range(100), 20, lambda: None)) == list(range(100))
    assert clock.now == pytest.approx(5.0)


def test_a_pause_is_not_made_up_for_by_a_rush(clock):
    pauses = iter([0, 60])
    for _ in importing.paced(range(100), 20, lambda: clock.sleep(next(pauses, 0))):
        pass
    assert clock.now > 63


def test_whoever_waits_for_the_next_row_still_obeys_a_cancel(clock):
    checks = []
    list(importing.paced(range(2), 0.5, lambda: checks.append(clock.now)))
    assert clock.longest <= 0.1
    assert len(checks) > 30


def test_without_a_rate_nobody_waits(clock):
    assert list(importing.paced(range(9), 0, lambda: None)) == list(range(9))
    assert clock.now == 0


def test_a_cancel_is_obeyed_after_each_batch(run, monkeypatch):
    checks = []

    def check(store):
        checks.append(store.checkpoint)
        if len(checks) == 3:
            raise Killed

    monkeypatch.setattr(FakeStore, "check", check)
    with pytest.raises(Killed):
        run("transactions", "cancelled")
    assert checks == [None, 50, 100]


def test_a_batch_is_full_by_its_rows_or_by_its_age(clock, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_ROWS", 4)
    assert list(importing.batches(range(10))) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    slow = importing.paced(range(5), 8, lambda: None)
    assert list(importing.batches(slow)) == [[0, 1], [2, 3], [4]]
