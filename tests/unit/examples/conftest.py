"""Fixtures: importers on databases of their own, the outcome of every sample row, and a clock."""

import pytest

from tests.unit.examples.modules import KINDS, SAMPLES, importers, importing, records, sample


@pytest.fixture
def importer():
    """Makes importers of a kind; see `importers`."""
    with importers() as made:
        yield made


@pytest.fixture(scope="session")
def judged():
    """The outcome of each sample row, by kind: None or its rejection."""
    known = records.known_entities(SAMPLES / "entities.csv")
    with importers() as made:
        return {kind: made(kind, known=known).import_batch(sample(kind)) for kind in KINDS}


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
    """The clock by which the importers pace themselves."""
    clock = Clock()
    monkeypatch.setattr(importing, "time", clock)
    return clock
