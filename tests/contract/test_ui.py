"""The pages as they are sent: their policy, caching, addresses; and the mark that spreadsheets need in a CSV."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

import batchstatus
from batchstatus import JobStore, Kind
from tests.support.wire import CSV, FAILED_ROW, LEGACY_CSV, ORG, bearer, error_of, get, put_job

FOLDER = Path(batchstatus.__file__).parent / "ui"
FILES = sorted(FOLDER.iterdir())
PAGES = {"/ui/": "history.html", "/ui/jobs/november-1": "job.html"}
BOM = b"\xef\xbb\xbf"


def address(file: Path) -> str:
    pages = {name: path for path, name in PAGES.items()}
    return pages.get(file.name, f"/ui/{file.name}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_sent_as_it_is_without_a_key_and_only_once(web: FlaskClient, file: Path) -> None:
    answer = web.get(address(file))
    assert (answer.status_code, answer.data) == (200, file.read_bytes())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = web.get(address(file), headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    head = web.head(address(file))
    assert (head.status_code, head.data) == (200, b"")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_allows_its_own_files_and_nothing_else(web: FlaskClient, path: str) -> None:
    answer = web.get(path)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_relative_files_that_exist(web: FlaskClient, path: str) -> None:
    names = re.findall(r'(?:src|href)="([^"]+)"', web.get(path).text)
    for name in names:
        assert not name.startswith(("/", "http"))
        assert web.get(urljoin(f"http://localhost{path}", name)).status_code == 200


@pytest.mark.parametrize("file", [each for each in FILES if each.suffix == ".js"], ids=lambda file: file.name)
def test_a_script_imports_files_that_exist_and_sets_no_html(file: Path) -> None:
    code = file.read_text()
    assert {FOLDER / name for name in re.findall(r'from "\./([^"]+)"', code)} <= {*FILES}
    assert (
        re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|localStorage", code
        )
        == []
    )


@pytest.mark.parametrize(
    ("path", "to"),
    [("/ui", "ui/"), ("/ui/jobs", "./"), ("/ui/jobs/", "../"), ("/ui/jobs/november-1/", "../november-1")],
)
def test_a_page_has_one_address_told_without_the_prefix(web: FlaskClient, path: str, to: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, to)


@pytest.mark.parametrize("path", ["/ui/nothing.js", "/ui/..", "/ui/jobs/a/b", "/ui/__init__.py"])
def test_what_is_no_page_is_an_error_in_json(web: FlaskClient, path: str) -> None:
    assert error_of(web.get(path)) == (404, "NOT_FOUND")
    assert error_of(web.post("/ui/")) == (405, "METHOD_NOT_ALLOWED")


# The mark


@pytest.fixture
def job_id(client) -> str:  # type: ignore[no-untyped-def]
    return put_job(client, "job_1", kind="entity_automatic", failures=['{"taxId":"Ñandú","code":"X_Y"}'])


@pytest.mark.parametrize("path", [CSV[Kind.ENTITY_AUTOMATIC], LEGACY_CSV])
def test_a_csv_begins_with_a_mark_only_if_asked(web: FlaskClient, api_key: str, job_id: str, path: str) -> None:
    plain = get(web, path.format(job_id), api_key).data
    assert plain.startswith(b"tax_id,")
    assert "Ñandú".encode() in plain
    assert get(web, f"{path.format(job_id)}?bom=false", api_key).data == plain
    assert get(web, f"{path.format(job_id)}?bom=true", api_key).data == BOM + plain
    assert get(web, f"{path.format(job_id)}?other=1", api_key).data == plain


@pytest.mark.parametrize("query", ["bom=", "bom=1", "bom=TRUE", "bom=true&bom=true"])
def test_a_mark_that_is_neither_asked_for_nor_not_is_400(
    web: FlaskClient, api_key: str, job_id: str, query: str
) -> None:
    refused = get(web, f"{CSV[Kind.ENTITY_AUTOMATIC].format(job_id)}?{query}", api_key)
    assert error_of(refused) == (400, "INVALID_REQUEST")
    assert [*refused.json["error"]["details"]] == ["bom"]  # type: ignore[index]


def test_the_job_comes_before_the_mark(web: FlaskClient, store: JobStore, api_key: str) -> None:
    path = f"{CSV[Kind.ENTITY_AUTOMATIC]}?bom=x"
    assert error_of(get(web, path.format("unknown"), api_key)) == (404, "JOB_NOT_FOUND")
    job = store.create(ORG, Kind.ENTITY_AUTOMATIC)
    with store.run(ORG, job.job_id) as run:
        run.failed(FAILED_ROW[Kind.ENTITY_AUTOMATIC])
    assert web.get(path.format(job.job_id), headers=bearer(api_key)).status_code == 400
