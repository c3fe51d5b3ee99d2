"""`batchstatus kinds`, and the option `--kinds` of other commands; without a store where none is needed."""

import json
from pathlib import Path

import pytest

from batchstatus.model.kinds import PUBLISHED
from tests.support.commands import Run, assert_refused, fresh_environment, runner
from tests.support.own_kinds import KINDS_FILE, PRODUCTS

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    fresh_environment(monkeypatch)
    return runner(capsys)


def test_the_published_kinds_are_printed_where_no_file_is_given(run: Run) -> None:
    result = run("kinds")
    head, *lines = result.out.splitlines()
    assert (result.code, result.err, head.split()[0]) == (0, "", "kind")
    assert [line.split()[0] for line in lines] == [*PUBLISHED.names]
    assert all(line.rstrip().endswith("published") for line in lines)


def test_each_kind_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(f"[user_event_batch]\n{KINDS_FILE.read_text()}")
    _, published, own = run("kinds", "--kinds", str(file)).out.splitlines()
    assert published.split()[0] == "user_event_batch"
    assert published.rstrip().endswith("published")
    assert own.split()[:4] == ["product_import", "products:import", "product-jobs", "sku"]
    assert own.rstrip().endswith(str(file))


def test_the_variable_names_the_file_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSTATUS_KINDS", str(KINDS_FILE))
    assert run("kinds").out == run("kinds", "--kinds", str(KINDS_FILE)).out


def test_json_has_all_of_each_declaration(run: Run) -> None:
    (product,) = json.loads(run("kinds", "--json", "--kinds", str(KINDS_FILE)).out)
    assert product == {
        "name": "product_import",
        "permission": PRODUCTS.permission,
        "path": PRODUCTS.path,
        "row": ["sku"],
        "columns": {"sku": "sku", "code": "code", "message": "error"},
        "skips": True,
        "from": str(KINDS_FILE),
    }
    assert [each["from"] for each in json.loads(run("kinds", "--json").out)] == ["published"] * 3


@pytest.mark.parametrize(
    "command",
    [
        ("kinds",),
        ("serve", "--redis-url", NOWHERE),
        ("reap", "--once", "--redis-url", NOWHERE),
        ("keys", "create", "--org", "acme.com", "--permission", "a:b", "--redis-url", NOWHERE),
    ],
    ids=" ".join,
)
def test_a_broken_file_is_one_line_and_wrong_usage(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(KINDS_FILE.read_text().replace("product-jobs", "jobs"))
    said = "kind product_import: path 'jobs' is the service's own"
    assert_refused(run(*command, "--kinds", str(file)), 2, str(file), said)
