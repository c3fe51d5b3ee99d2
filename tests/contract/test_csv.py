"""Failed rows as CSV: every stored row, in order, quoted by RFC 4180, safe in a spreadsheet (contract §3)."""

import csv
import io
import json
from collections.abc import Sequence

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from tests.support.rawhttp import download, request
from tests.support.service import LiveService
from tests.support.wire import (
    CSV,
    LEGACY_CSV,
    NAME,
    ORG,
    STATES,
    bearer,
    failed_row,
    get,
    job_in,
    put_job,
    run_to_the_end,
    shown,
)

COLUMNS = {
    Kind.TRANSACTION_BATCH: ["external_id", "code", "error"],
    Kind.USER_EVENT_BATCH: ["row_key", "code", "error"],
    Kind.ENTITY_AUTOMATIC: ["tax_id", "type", "outcome", "code", "error_message"],
}
MEMBERS = {
    Kind.TRANSACTION_BATCH: ["externalId", "code", "message"],
    Kind.USER_EVENT_BATCH: ["rowKey", "code", "message"],
    Kind.ENTITY_AUTOMATIC: ["taxId", "type", "outcome", "code", "message"],
}
GOLDEN = {
    Kind.TRANSACTION_BATCH: "external_id,code,error\r\nT-1,VALIDATION_ERROR,no amount\r\n",
    Kind.USER_EVENT_BATCH: "row_key,code,error\r\nrow_5,ENTITY_NOT_FOUND,no such entity\r\n",
    Kind.ENTITY_AUTOMATIC: (
        "tax_id,type,outcome,code,error_message\r\n20123456789,company,failed,DUPLICATE_EXTERNAL_ID,taken\r\n"
    ),
}
KINDS = pytest.mark.parametrize("kind", Kind)


def parsed(body: bytes) -> list[list[str]]:
    """Returns the records of a file by a strict RFC 4180 parser. Asserts that the last record ends with CRLF."""
    text = body.decode("utf-8", "strict")
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@KINDS
@pytest.mark.parametrize("state", STATES)
def test_a_job_in_any_state_has_a_file_with_the_columns_of_its_kind(
    web: FlaskClient, store: JobStore, api_key: str, state: str, kind: Kind
) -> None:
    with job_in(state, store, kind) as job:
        response = get(web, CSV[kind].format(job.job_id), api_key)
        judged = store.get(ORG, job.job_id).failed
    assert response.status_code == 200
    assert response.text == (GOLDEN[kind] if judged else ",".join(COLUMNS[kind]) + "\r\n")


@KINDS
def test_the_csv_has_the_headers_of_a_download(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    put_job(client, "job_1", kind=kind, failures=["a row"])
    headers = get(web, CSV[kind].format("job_1"), api_key).headers
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Content-Disposition"].split(";")[0] == "attachment"
    assert headers["X-Content-Type-Options"] == "nosniff"


@KINDS
@pytest.mark.parametrize("rows", [1, 500, 501, 999, 1_000, 1_001, 2_500])
def test_the_csv_has_every_stored_row_in_order(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind, rows: int
) -> None:
    stored = [json.dumps(failed_row(kind, number)) for number in range(rows)]
    put_job(client, "job_1", kind=kind, failures=stored)
    header, *records = parsed(get(web, CSV[kind].format("job_1"), api_key).data)
    assert header == COLUMNS[kind]
    assert [record[0] for record in records] == [f"R-{number}" for number in range(rows)]


def test_the_csv_has_neither_unstored_nor_skipped_rows(client: "redis.Redis", api_key: str) -> None:
    store = JobStore(client, StoreSettings(max_rows=3))
    kind = Kind.ENTITY_AUTOMATIC
    job_id = run_to_the_end(store, store.create(ORG, kind), *(failed_row(kind, n) for n in range(5)), skips=2)
    _, *records = parsed(get(create_app(store).test_client(), CSV[kind].format(job_id), api_key).data)
    assert [record[0] for record in records] == ["R-0", "R-1", "R-2"]


AWKWARD = (
    "", " ", "a,b", 'a "quoted" word', '"', "two\nlines", "two\r\nlines", "a\rreturn", "a;b\tc", "'single'",
    "größer als 1 €", "表 🎉", "a\x00b", "\u2028", "ends with a space ", "1-2=3", " =1+1", "'=1+1", "\ufeffbom",
)  # fmt: skip
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x","y")', "=", "-", "=cmd|'/C x'!A0")


def rows_full_of(texts: Sequence[str], kind: Kind) -> list[list[str]]:
    """Returns a row per text: every cell but the code holds the text."""
    return [["VALIDATION_ERROR" if member == "code" else text for member in MEMBERS[kind]] for text in texts]


def stored_rows(cells: list[list[str]], kind: Kind) -> list[str]:
    return [json.dumps(dict(zip(MEMBERS[kind], each, strict=True))) for each in cells]


@KINDS
def test_awkward_cells_are_parsed_back_unchanged(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    cells = rows_full_of(AWKWARD, kind)
    put_job(client, "job_1", kind=kind, failures=stored_rows(cells, kind))
    assert parsed(get(web, CSV[kind].format("job_1"), api_key).data) == [COLUMNS[kind], *cells]


@KINDS
def test_a_cell_that_looks_like_a_formula_is_prefixed(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    put_job(client, "job_1", kind=kind, failures=stored_rows(rows_full_of(FORMULAS, kind), kind))
    prefixed = rows_full_of([f"'{text}" for text in FORMULAS], kind)
    assert parsed(get(web, CSV[kind].format("job_1"), api_key).data) == [COLUMNS[kind], *prefixed]


def test_quoting_follows_rfc_4180_to_the_byte(web: FlaskClient, client: "redis.Redis", api_key: str) -> None:
    row = {"externalId": 'a,"b"', "code": "VALIDATION_ERROR", "message": "=1\r\n2"}
    put_job(client, "job_1", failures=[json.dumps(row)])
    response = get(web, CSV[Kind.TRANSACTION_BATCH].format("job_1"), api_key)
    assert response.data == b'external_id,code,error\r\n"a,""b""",VALIDATION_ERROR,"\'=1\r\n2"\r\n'


@KINDS
def test_the_csv_includes_rows_of_older_workers(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    half_a_surrogate = f'{{"{NAME[kind]}": "R-2", "message": "caf\\udce9"}}'
    put_job(client, "job_1", kind=kind, failures=["row 7: no amount", b"caf\xe9", half_a_surrogate])
    _, *records = parsed(get(web, CSV[kind].format("job_1"), api_key).data)
    outcome = {"outcome": "failed"} if kind is Kind.ENTITY_AUTOMATIC else {}
    unnamed = dict.fromkeys(MEMBERS[kind], "") | {"code": "PROCESSING_ERROR", **outcome}
    free_text = [list((unnamed | {"message": text}).values()) for text in ("row 7: no amount", "caf\ufffd")]
    assert records[:2] == free_text
    assert [records[2][0], records[2][-2], records[2][-1][:3]] == ["R-2", "PROCESSING_ERROR", "caf"]


@pytest.mark.parametrize("failures", [[], ["a row"], ["a row"] * 1_001])
def test_the_legacy_path_gives_the_same_bytes_and_headers(
    web: FlaskClient, client: "redis.Redis", api_key: str, failures: list[str]
) -> None:
    put_job(client, "job_1", kind="entity_automatic", failures=failures)
    legacy = get(web, LEGACY_CSV.format("job_1"), api_key)
    assert shown(legacy) == shown(get(web, CSV[Kind.ENTITY_AUTOMATIC].format("job_1"), api_key))


@pytest.mark.parametrize("path", [*CSV.values(), LEGACY_CSV])
def test_head_has_the_headers_without_the_body(
    web: FlaskClient, client: "redis.Redis", api_key: str, path: str
) -> None:
    kind = next((kind for kind, own in CSV.items() if own == path), Kind.ENTITY_AUTOMATIC)
    put_job(client, "job_1", kind=kind, failures=["a row"])
    status, headers, _ = shown(get(web, path.format("job_1"), api_key))
    assert shown(web.head(path.format("job_1"), headers=bearer(api_key))) == (status, headers, b"")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_download_from_the_live_service_is_complete(
    live: LiveService, redis_client: "redis.Redis", real_store: JobStore, version: str
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["events:create"])
    put_job(
        redis_client, "job_1", failures=[json.dumps(failed_row(Kind.TRANSACTION_BATCH, n)) for n in range(2_500)]
    )
    sent = request("GET", CSV[Kind.TRANSACTION_BATCH].format("job_1"), key=key, version=version)
    with download(live.port, sent) as response:
        assert response.headers.get("Transfer-Encoding") == ("chunked" if version == "1.1" else None)
        body = response.read()
    assert [record[0] for record in parsed(body)[1:]] == [f"R-{number}" for number in range(2_500)]
