"""The sample files: made again byte for byte, large enough, and full of what real files have."""

import re

import pytest

from tests.unit.examples.modules import KINDS, SAMPLES, make_samples, sample

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


def test_the_row_count_of_one_kind_does_not_change_the_other_files(tmp_path):
    make_samples.make(tmp_path, seed=1, transactions=7, entities=5_000, events=5_000)
    for kind in ("entities", "user_events"):
        assert (tmp_path / f"{kind}.csv").read_bytes() == (SAMPLES / f"{kind}.csv").read_bytes()


@pytest.mark.parametrize(
    ("kind", "least"), [("transactions", 20_000), ("entities", 5_000), ("user_events", 5_000)]
)
def test_each_sample_has_enough_rows(kind, least):
    assert len(sample(kind)) >= least


def test_the_samples_are_smaller_than_3_mb():
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 3_000_000


def test_one_sample_begins_with_a_byte_order_mark():
    assert (SAMPLES / "entities.csv").read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("pattern", SPICE.values(), ids=SPICE)
def test_the_transactions_contain(pattern):
    assert any(re.search(pattern, cell) for row in sample("transactions") for cell in row.cells.values())
