"""Kinds are declarations: what is accepted, and the one line that each malformed declaration gives."""

import pickle
from pathlib import Path

import pytest

import batchstatus
from batchstatus import JobKind, Kind
from batchstatus.model.errors import InvalidValue
from batchstatus.model.kinds import PUBLISHED, Kinds, as_kind
from batchstatus.settings import Settings, declared_kinds

TOML = """
[product_import]
permission = "products:import"
path = "product-jobs"
row = ["sku"]
columns = {sku = "sku", code = "code", message = "error"}
skips = true
"""
PRODUCTS = JobKind(
    name="product_import",
    permission="products:import",
    path="product-jobs",
    row=["sku"],
    columns={"sku": "sku", "code": "code", "message": "error"},
    skips=True,
)
URL = {"BATCHSTATUS_REDIS_URL": "redis://127.0.0.1:1/0"}


def declared(**changes: object) -> JobKind:
    """Returns the declaration of products with these changes."""
    given = {name: getattr(PRODUCTS, name) for name in ("name", "permission", "path", "row", "columns", "skips")}
    return JobKind(**{**given, **changes})  # type: ignore[arg-type]


# What is accepted


def test_a_table_declares_what_a_job_kind_declares() -> None:
    assert [*Kinds.of_toml(TOML)] == [PRODUCTS]


def test_declared_kinds_keep_their_order_and_replace_the_published_ones() -> None:
    kinds = Kinds.of_toml(f"[user_event_batch]\n{TOML}")
    assert kinds.names == ("user_event_batch", "product_import")
    assert kinds.read_permissions == {"events:create", "products:import"}


def test_a_published_kind_stays_by_its_name_alone() -> None:
    assert [*Kinds.of_toml("[entity_automatic]")] == [PUBLISHED["entity_automatic"]]
    assert [*Kinds([Kind.ENTITY_AUTOMATIC, "user_event_batch"])] == [PUBLISHED[name] for name in Kind][::2]


def test_a_published_kind_that_is_declared_as_it_is_published_is_the_published_one() -> None:
    same = JobKind(
        "transaction_batch",
        "transactions:create",
        "transaction-jobs",
        ["externalId"],
        {"externalId": "external_id", "code": "code", "message": "error"},
    )
    assert Kinds([same])["transaction_batch"] is PUBLISHED["transaction_batch"]
    assert Kinds.of_toml('[transaction_batch]\npath = "transaction-jobs"').names == ("transaction_batch",)


def test_the_published_kinds_are_the_members_of_kind() -> None:
    assert PUBLISHED.names == (*Kind,)
    assert all(type(name) is Kind for name in PUBLISHED.names)


def test_a_kind_of_ones_own_is_plain_text() -> None:
    assert type(PRODUCTS.name) is type(Kinds([PRODUCTS]).named("product_import")) is str
    assert (as_kind("user_event_batch"), as_kind("x")) == (Kind.USER_EVENT_BATCH, "x")


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_may_be_given_by_its_name(kind: Kind) -> None:
    assert PUBLISHED.named(str(kind)) is PUBLISHED.named(kind) is kind


@pytest.mark.parametrize("bad", ["", "Transaction_batch", "transaction_batch ", "jobs", None, 5, []], ids=repr)
def test_an_unknown_kind_is_refused_listing_the_known_ones(bad: object) -> None:
    with pytest.raises(InvalidValue, match=r"^kind .* entity_automatic, transaction_batch, user_event_batch$"):
        PUBLISHED.named(bad)


def test_a_declaration_does_not_follow_what_it_was_made_of() -> None:
    row, columns = ["sku"], {**PRODUCTS.columns}
    made = declared(row=row, columns=columns)
    row.append("other")
    columns["code"] = "other"
    assert made == PRODUCTS


def test_a_declaration_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(PRODUCTS)) == PRODUCTS
    assert hash(pickle.loads(pickle.dumps(PRODUCTS))) == hash(PRODUCTS)


def test_there_may_be_32_kinds_and_no_more() -> None:
    many = [declared(name=f"kind_{n}", path=f"path-{n}", permission=f"a:{n}") for n in range(33)]
    assert len(Kinds(many[:32])) == 32
    with pytest.raises(InvalidValue, match=r"^33 kinds are declared; there must be 1 to 32$"):
        Kinds(many)


def test_the_columns_need_no_outcome_and_may_have_one() -> None:
    with_outcome = {"outcome": "result", **PRODUCTS.columns}
    assert [*declared(columns=with_outcome).columns] == ["outcome", "sku", "code", "message"]


# What is refused


@pytest.mark.parametrize(
    "bad", ["", "p", "Product", "1product", "a-b", "a b", "é", "x" * 33, None, 5, b"ab"], ids=repr
)
def test_a_malformed_name_is_refused(bad: object) -> None:
    with pytest.raises(InvalidValue, match=r"^kind .*: the name does not match \^\[a-z\]"):
        declared(name=bad)


COLUMNS = {**PRODUCTS.columns}
NO_LINE = "which is not one line of 1 to 64 characters"
MALFORMED = [
    ("permission", "products", "'products' is not resource:action"),
    ("permission", "a:b:c", "'a:b:c' is not resource:action"),
    ("permission", None, "None is not resource:action"),
    ("permission", "jobs:run", "'jobs:run' is the service's own"),
    ("path", "", "'' does not match ^[a-z][a-z0-9-]{1,63}$"),
    ("path", "a/b", "'a/b' does not match ^[a-z][a-z0-9-]{1,63}$"),
    ("path", "<job_id>", "'<job_id>' does not match ^[a-z][a-z0-9-]{1,63}$"),
    ("path", 5, "5 does not match ^[a-z][a-z0-9-]{1,63}$"),
    *(("path", each, f"'{each}' is the service's own") for each in ("jobs", "events", "tickets")),
    ("row", "sku", "'sku' is not a list of 1 to 16 members"),
    ("row", [], "[] is not a list of 1 to 16 members"),
    ("row", [f"m{n}" for n in range(17)], None),
    ("row", {"sku": 1}, "{'sku': 1} is not a list of 1 to 16 members"),
    ("row", ["s k"], "has 's k', which does not match ^[A-Za-z][A-Za-z0-9_]{0,63}$"),
    ("row", ['"'], "has '\"', which does not match ^[A-Za-z][A-Za-z0-9_]{0,63}$"),
    ("row", [5], "has 5, which does not match ^[A-Za-z][A-Za-z0-9_]{0,63}$"),
    ("row", ["sku", "code"], "has 'code', which says nothing of which row it is"),
    ("row", ["sku", "sku"], "has 'sku' twice"),
    ("columns", "sku", "'sku' are not a table of members and their CSV headers"),
    ("columns", ["sku"], "['sku'] are not a table of members and their CSV headers"),
    ("columns", {"sku": "sku"}, "lack a header for code, message"),
    ("columns", {"code": "code", "message": "m"}, "lack a header for sku"),
    ("columns", COLUMNS | {"price": "p"}, "have 'price', which no row has; rows have sku, outcome, code, message"),
    ("columns", COLUMNS | {"sku": "code"}, "have the header 'code' twice"),
    *(
        ("columns", COLUMNS | {"sku": bad}, f"have the header {bad!r}, {NO_LINE}")
        for bad in ("", " ", "a\nb", "a\r", "a\0", "a\u2028b", "\ud800", " a", "x" * 65, 5, None)
    ),
    *(
        ("columns", COLUMNS | {"sku": bad}, f"have the header {bad!r}, which a spreadsheet takes for a formula")
        for bad in ("=1", "+1", "-1", "@sku")
    ),
    ("skips", "yes", "'yes' is not true or false"),
    ("skips", 1, "1 is not true or false"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("member", "bad", "said"), MALFORMED, ids=[f"{each[0]}={each[1]!r:.40}" for each in MALFORMED]
)
def test_a_malformed_member_is_refused_in_one_line_that_names_kind_and_member(
    member: str, bad: object, said: str | None
) -> None:
    with pytest.raises(InvalidValue) as refused:
        declared(**{member: bad})
    line = str(refused.value)
    assert line.startswith(f"kind product_import: {member} ")
    assert said is None or line == f"kind product_import: {member} {said}"[: len(line)]
    assert len(line.splitlines()) == 1


OTHER = {"name": "price_import", "path": "price-jobs", "permission": "prices:import"}


@pytest.mark.parametrize(
    ("clash", "said"),
    [
        ({"name": "product_import"}, "kind product_import is declared twice"),
        (
            {"name": "product_im_port"},
            "kind product_im_port: only underscores tell the name from kind product_import",
        ),
        ({"path": "product-jobs"}, "kind price_import: path 'product-jobs' is that of kind product_import"),
        (
            {"permission": "products:import"},
            "kind price_import: permission 'products:import' is that of kind product_import",
        ),
    ],
)
def test_two_kinds_that_clash_are_refused_naming_both(clash: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        Kinds([PRODUCTS, declared(**{**OTHER, **clash})])
    assert str(refused.value) == said


def test_a_path_of_a_published_kind_is_free_only_where_that_kind_is_not_declared() -> None:
    taken = declared(path="entity-jobs")
    assert len(Kinds([taken])) == 1
    with pytest.raises(InvalidValue, match=r"'entity-jobs' is that of kind entity_automatic$"):
        Kinds(["entity_automatic", taken])


def test_a_published_kind_cannot_be_declared_otherwise() -> None:
    with pytest.raises(
        InvalidValue, match=r"^kind user_event_batch: path is 'user-event-jobs' in the published API"
    ):
        Kinds.of_toml('[user_event_batch]\npath = "events-of-ours"')


@pytest.mark.parametrize("bad", [[], ["x"], [5], [None], "user_event_batch", 5], ids=repr)
def test_anything_but_kinds_is_refused(bad: object) -> None:
    with pytest.raises(InvalidValue, match="kind"):
        Kinds(bad)  # type: ignore[arg-type]


BROKEN_FILES = [
    (b"", "0 kinds are declared; there must be 1 to 32"),
    (b"[product_import", "not TOML: "),
    (b"[a]\n[a]", "not TOML: "),
    (b"product_import = 5", "'product_import' is not a table such as [product_import]"),
    (b"[[product_import]]", "'product_import' is not a table such as [product_import]"),
    (b"[product_import]", "kind product_import needs permission, path, row, columns"),
    (TOML.replace("path =", "paths =").encode(), "kind product_import has no member 'paths'; it has permission, "),
    (TOML.replace("product_import", "Product").encode(), "kind 'Product': the name does not match "),
    (TOML.replace('"sku"]', "5]").encode(), "kind product_import: row has 5, which does not match "),
    (TOML.replace("true", '"true"').encode(), "kind product_import: skips 'true' is not true or false"),
    (b"\xff\xfe", "not UTF-8"),
    (None, "No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BROKEN_FILES, ids=[each[1][:40] for each in BROKEN_FILES])
def test_a_broken_file_stops_the_start_with_one_line_that_names_it(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "kinds.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidValue) as refused:
        batchstatus.connect("redis://127.0.0.1:1/0", kinds=str(file))
    assert str(refused.value).startswith(f"{file}: {said}")
    with pytest.raises(InvalidValue) as refused:
        Settings.from_env({**URL, "BATCHSTATUS_KINDS": str(file)})
    assert str(refused.value).startswith(f"BATCHSTATUS_KINDS='{file}': {said}")
    assert len(str(refused.value).splitlines()) == 1


# Where they come from


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that declares products; with the mark that some editors write at the start."""
    path = tmp_path / "kinds.toml"
    path.write_text(TOML, "utf-8-sig")
    return path


def test_a_file_may_be_given_as_text_as_path_and_by_the_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [declared_kinds(str(file), {}), declared_kinds(file, {})]
    found += [declared_kinds(None, {"BATCHSTATUS_KINDS": str(file)})]
    found += [Settings.from_env({**URL, "BATCHSTATUS_KINDS": str(file)}).store.kinds]
    monkeypatch.setenv("BATCHSTATUS_KINDS", str(file))
    found += [batchstatus.connect("redis://127.0.0.1:1/0").settings.kinds]
    assert [[*kinds] for kinds in found] == [[PRODUCTS]] * 5


def test_what_python_declares_comes_before_the_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHSTATUS_KINDS", str(file))
    store = batchstatus.connect("redis://127.0.0.1:1/0", kinds=[Kind.USER_EVENT_BATCH])
    assert store.settings.kinds.names == ("user_event_batch",)


def test_without_a_file_the_published_kinds_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHSTATUS_KINDS", raising=False)
    assert batchstatus.connect("redis://127.0.0.1:1/0").settings.kinds is PUBLISHED
    assert Settings.from_env(URL).store.kinds is PUBLISHED
