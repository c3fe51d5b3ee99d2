"""docs/sdk.md names every public name of the SDK, with the signature that the code has, and no other name."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batchstatus
from batchstatus import client, web
from batchstatus.client import Client
from batchstatus.model import errors
from batchstatus.reaper import Reaper
from batchstatus.settings import Settings, StoreSettings

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
STORE = batchstatus.connect("redis://127.0.0.1:1/0")  # connects to nothing

USED_THROUGH = {
    "JobStore": STORE,
    "Run": STORE.run("org_acme", "job"),
    "ApiKeys": STORE.api_keys,
    "Tickets": STORE.tickets,
    "Reaper": Reaper(STORE),
    "Client": Client("http://127.0.0.1:1", "key"),
}
"""One object of each class that has methods."""

VALUES = [
    batchstatus.Job,
    batchstatus.JobFailure,
    batchstatus.Outcome,
    batchstatus.Part,
    batchstatus.ApiKey,
    batchstatus.Page,
    batchstatus.Progress,
    batchstatus.Ticket,
]
ENUMS = [batchstatus.Kind, batchstatus.Status, batchstatus.Action]
ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
CLASSES = [*map(type, USED_THROUGH.values()), *VALUES, *ENUMS, *ERRORS, web.Caller, web.Service]
CLASSES += [Settings, StoreSettings, batchstatus.JobKind]
NAMED_IN_CODE = {each.__name__: each for each in CLASSES}
FUNCTIONS = {
    each.__name__: each for each in (batchstatus.connect, web.blueprint, web.create_app, web.open_service)
}


def sections() -> dict[str, str]:
    """Each section of the page by its heading, without the backticks."""
    parts = re.split(r"^##?#? (.*)$", PAGE, flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


SECTIONS = sections()
SIGNATURES = {
    name: said[1] for name, text in SECTIONS.items() if (said := re.match(r"\n+```text\n(.*)\n```", text))
}
"""The line of code below a heading."""


def code_in(text: str) -> list[str]:
    """The pieces of inline code in a text."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def words_in(text: str) -> set[str]:
    """The identifiers in the inline code of a text."""
    return {word for code in code_in(text) for word in re.findall(r"\w+", code)}


def members(name: str) -> set[str]:
    """The public members of a class that is used through an object."""
    used = USED_THROUGH[name]
    return {each for each in {*dir(type(used)), *vars(used)} if not each.startswith("_")}


def described(name: str) -> Callable[..., Any]:
    """The function, method or class that a section describes."""
    owner, _, member = name.rpartition(".")
    found: Callable[..., Any] = getattr(NAMED_IN_CODE[owner], member) if owner else FUNCTIONS.get(name)
    return found or NAMED_IN_CODE[name]


def parameters(name: str) -> list[inspect.Parameter]:
    """The parameters of what a section describes, without `self` and annotations."""
    given = inspect.signature(described(name)).parameters.values()
    return [each.replace(annotation=inspect.Parameter.empty) for each in given if each.name != "self"]


@pytest.mark.parametrize("name", [*batchstatus.__all__, *client.__all__, *web.__all__])
def test_every_public_name_is_described(name: str) -> None:
    assert name in SECTIONS or name in words_in(SECTIONS["Errors"]) | words_in(SECTIONS["create_app"])


@pytest.mark.parametrize("name", USED_THROUGH)
def test_every_public_member_of_a_class_is_named(name: str) -> None:
    named = {
        code.removeprefix(f"{name}.").partition("(")[0] for code in code_in(PAGE) if code.startswith(f"{name}.")
    }
    headings = {heading.removeprefix(f"{name}.") for heading in SECTIONS if heading.startswith(f"{name}.")}
    assert named | headings >= members(name)


@pytest.mark.parametrize("name", [name for name in USED_THROUGH if name != "Reaper"])
def test_every_method_that_a_user_calls_has_a_section_with_its_signature(name: str) -> None:
    for_the_service = words_in(SECTIONS["The rest of a store"])
    methods = {each for each in members(name) if inspect.isfunction(getattr(NAMED_IN_CODE[name], each, None))}
    assert {f"{name}.{each}" for each in methods - for_the_service} <= SIGNATURES.keys()


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_signature_is_that_of_the_code(name: str) -> None:
    said = SIGNATURES[name].partition(" -> ")[0]
    called = said.partition("(")[0]
    assert said == f"{called}{inspect.Signature(parameters(name))}"
    assert called.rpartition(".")[2] == name.rpartition(".")[2]


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_argument_is_explained(name: str) -> None:
    explained = words_in(SECTIONS[name]) | words_in(SECTIONS["The Python SDK"])
    assert {each.name for each in parameters(name)} <= explained


def test_the_options_of_connect_are_the_settings_of_the_store() -> None:
    options = {each.name for each in parameters("connect")} - {"url"}
    assert options == {each.name for each in inspect.signature(StoreSettings).parameters.values()}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_field_of_a_value_is_described(value: type) -> None:
    fields = {each for each in dir(value) if not each.startswith("_")}
    assert fields <= words_in(SECTIONS[value.__name__])


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_every_member_of_an_enum_is_listed(enum: Any) -> None:
    assert set(code_in(SECTIONS[enum.__name__])) >= {f"{enum.__name__}.{each.name}" for each in enum}


def test_the_table_of_errors_lists_every_error_and_no_other() -> None:
    listed = re.findall(r"^\| `(\w+)`(?: \((?:an?|also a) `(\w+)`\))? \|", SECTIONS["Errors"], re.MULTILINE)
    assert {name for name, _ in listed} | {"BatchStatusError"} == {each.__name__ for each in ERRORS}
    bases = {name: base for name, base in listed if base and base != "ValueError"}
    assert bases == {
        each.__name__: each.__base__.__name__
        for each in ERRORS
        if each.__base__ not in (Exception, batchstatus.BatchStatusError) and each.__base__
    }


def test_every_error_can_be_imported_from_where_the_page_says() -> None:
    only_of_the_client = {each.__name__ for each in ERRORS} - set(batchstatus.__all__)
    assert only_of_the_client == set(client.__all__) - {"Client"}
    assert "The last three are in `batchstatus.client`" in SECTIONS["Errors"]


def test_every_error_that_a_section_names_exists() -> None:
    raised = {word for text in SECTIONS.values() for word in re.findall(r"[Rr]aises[^.]*\.", text)}
    named = {word for text in raised for word in re.findall(r"`([A-Z]\w+)`", text)}
    assert named <= {each.__name__ for each in ERRORS}


def test_every_member_that_the_page_names_exists() -> None:
    named = {tuple(each) for code in code_in(PAGE) for each in re.findall(r"\b([A-Z]\w+)\.(\w+)", code)}
    named |= {tuple(heading.split(".")) for heading in SECTIONS if re.fullmatch(r"\w+\.\w+", heading)}
    real = {(name, member) for name in USED_THROUGH for member in members(name)}
    real |= {(name, member) for name, each in NAMED_IN_CODE.items() for member in dir(each)}
    assert named - real == set()


def test_every_class_that_the_page_names_exists() -> None:
    known = {*NAMED_IN_CODE, "ValueError", "Exception", "KeyboardInterrupt", "SystemExit", "StrEnum"}
    known |= {"AsyncRun", "CancelledError"}
    camel = {
        word for code in code_in(PAGE) for word in re.findall(r"(?<![\w./])[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", code)
    }
    assert camel <= known
