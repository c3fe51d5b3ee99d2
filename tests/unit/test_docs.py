"""What the documents name exists: tests, settings, make targets, files."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[!.]*/README.md")})
VARIABLE = re.compile(r"BATCHSTATUS_[A-Z_]*[A-Z]")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def code_in(document: Path) -> str:
    """What stands in the document as code, in blocks and in lines."""
    text = document.read_text()
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(blocks + re.findall(r"`([^`]+)`", prose))


def functions_in(path: Path) -> set[str]:
    """The functions of a module, without importing it."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def variables_read() -> set[str]:
    """The variables that batchstatus and its tests read: they stand in the code as texts of their own."""
    texts = set()
    for path in (*ROOT.glob("batchstatus/**/*.py"), ROOT / "tests/__init__.py"):
        texts |= {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and VARIABLE.fullmatch(text)}


@each_document
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", document.read_text())
    missing = [
        f"{path}::{function}"
        for path, function in named
        if not (ROOT / path).is_file() or (function and function not in functions_in(ROOT / path))
    ]
    assert missing == []


def test_every_promise_has_a_test() -> None:
    rows = re.findall(r"^\| (.*) \|$", (ROOT / "docs" / "guarantees.md").read_text(), re.MULTILINE)
    promises = [row for row in rows if not row.startswith(("promise", "---"))]
    assert len(promises) > 40
    assert [row for row in promises if "::test_" not in row] == []


@each_document
def test_every_variable_that_a_document_names_is_read(document: Path) -> None:
    assert set(VARIABLE.findall(document.read_text())) - variables_read() == set()


def test_every_variable_that_is_read_is_explained_to_operators() -> None:
    settings = (ROOT / "docs" / "operations.md").read_text().partition("\n## Settings\n")[2].partition("\n### ")[0]
    contributing = (ROOT / "CONTRIBUTING.md").read_text()  # has the one that only tests read
    _, _, programs = (ROOT / "docs" / "command-line.md").read_text().partition("\n## A program as a worker\n")
    given = set(VARIABLE.findall(programs.partition("\n## ")[0]))  # to programs, by `batchstatus run`
    unexplained = variables_read() - set(VARIABLE.findall(settings)) - given
    assert unexplained == {"BATCHSTATUS_TEST_SERVER"} & set(VARIABLE.findall(contributing))


@each_document
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^(?:\$ )?make ([a-z]+)", code_in(document), re.MULTILINE)) - targets == set()


@each_document
def test_every_file_that_a_document_links_to_exists(document: Path) -> None:
    linked = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in linked if not (document.parent / link).exists()] == []


def anchors(document: Path) -> set[str]:
    """The names by which GitHub links to the headings of a document."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_heading_that_a_document_links_to_exists(document: Path) -> None:
    linked = re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", document.read_text())
    places = [(document.parent / path if path else document, anchor) for path, anchor in linked]
    missing = [f"{path.name}#{anchor}" for path, anchor in places if anchor not in anchors(path)]
    assert missing == []


@each_document
def test_no_document_has_a_gap_left_to_fill(document: Path) -> None:
    assert re.findall(r"\b(?:MEM_\w+|TODO|TBD|FIXME|XXX)\b", document.read_text()) == []
