"""The example scripts as modules, rows for them, and what an importer made of a batch."""

import functools
import importlib
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
SAMPLES = EXAMPLES / "samples"

with pytest.MonkeyPatch.context() as patch:  # scripts in `examples` import each other by their bare names
    patch.syspath_prepend(EXAMPLES)
    make_samples, fields, records, importing, import_in_parts, transactions, entities, user_events = map(
        importlib.import_module,
        (
            "make_samples",
            "fields",
            "records",
            "importing",
            "import_in_parts",
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


@contextmanager
def importers():
    """Gives what makes importers, each with a database in memory unless one is given; closes these at the end."""
    with ExitStack() as opened:

        def made(kind, database=None, job_id="job-1", known=frozenset({PERSON, COMPANY})):
            if database is None:
                database = opened.enter_context(closing(sqlite3.connect(":memory:")))
            return KINDS[kind](database, job_id, known)

        yield made


def record(kind, number=1, *, fits=True, **changed):
    """A good row of a kind, with some cells changed."""
    return records.Record(number, number + 1, GOOD[kind] | changed, fits)


@functools.cache
def sample(kind):
    """The committed sample of a kind."""
    with records.open_csv(SAMPLES / f"{kind}.csv") as file:
        return list(records.read(file, KINDS[kind].columns))


def code(rejected):
    """The code of a rejection; "ok" for None."""
    return rejected.code if rejected else "ok"


def codes(an_importer, *batch):
    """The code of each row of a batch, once imported."""
    return [code(rejected) for rejected in an_importer.import_batch(batch)]


def table(an_importer, kind):
    """The stored rows of a kind, in one order."""
    return sorted(an_importer.database.execute(f"SELECT * FROM {kind}").fetchall(), key=repr)
