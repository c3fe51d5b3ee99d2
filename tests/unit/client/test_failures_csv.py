"""The failed rows as CSV: a file that is cut never looks whole."""

import io
import json

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import JobNotFound, ServiceUnavailable
from tests.unit.client.answers import Answer, answer, csv, cut, error, ok, page
from tests.unit.client.service import Server

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"

UNBOUNDED = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n"


@pytest.mark.parametrize(
    ("kind", "route"),
    [
        ("transaction_batch", "transaction-jobs"),
        ("user_event_batch", "user-event-jobs"),
        ("entity_automatic", "entity-jobs"),
    ],
)
def test_the_csv_comes_from_the_route_of_the_kind(client: Client, server: Server, kind: str, route: str) -> None:
    server.says(ok(kind=kind), csv(b"row_key,code,error\r\n" * 10_000))
    file = io.BytesIO()
    client.failures_csv("J", file)
    assert file.getvalue() == b"row_key,code,error\r\n" * 10_000
    assert server.requests[1].target == f"/batch-import/{route}/J/failures.csv"


DOCUMENT = {
    "paths": {
        "/batch-import/jobs/{jobId}": {"get": {}},
        "/batch-import/price-jobs/{jobId}/failures.csv": {"get": {"x-kind": "price_import"}},
        "/batch-import/product-jobs/{jobId}/failures": {"get": {"x-kind": "product_import"}},
        "/batch-import/product-jobs/{jobId}/failures.csv": {"get": {"x-kind": "product_import"}},
    }
}


def test_of_a_kind_that_is_not_published_the_service_says_the_route(client: Client, server: Server) -> None:
    document = answer(body=json.dumps(DOCUMENT).encode())
    server.says(ok(kind="product_import"), document, csv(b"sku,code,error\r\n"))
    file = io.BytesIO()
    client.failures_csv("J", file)
    assert file.getvalue() == b"sku,code,error\r\n"
    targets = [request.target for request in server.requests]
    assert targets[1:] == ["/openapi.json", "/batch-import/product-jobs/J/failures.csv"]


def test_a_path_that_is_given_is_asked_at_once(client: Client, server: Server) -> None:
    server.says(csv(b"sku,code,error\r\n"))
    client.failures_csv("J", io.BytesIO(), path="product-jobs")
    assert server.requests[0].target == "/batch-import/product-jobs/J/failures.csv"


BROKEN = '{"paths": {"/batch-import/product-jobs/{jobId}/failures.csv": %s}}'


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"5",
        b'{"paths": {}}',
        b'{"paths": {"/x": {}}}',
        b'{"paths": []}',
        *((BROKEN % each).encode() for each in ("5", "{}", '{"get": 5}')),
    ],
)
def test_a_route_that_the_service_does_not_say_is_service_unavailable(
    client: Client, server: Server, body: bytes
) -> None:
    server.says(ok(kind="product_import"), answer(body=body))
    with pytest.raises(ServiceUnavailable):
        client.failures_csv("J", io.BytesIO())


def test_a_chunked_csv_is_written_whole(client: Client, server: Server) -> None:
    server.says(ok(), Answer(CHUNKED + b"3\r\na,b\r\n4\r\n,c\r\n\r\n0\r\n\r\n"))
    file = io.BytesIO()
    client.failures_csv("J", file)
    assert file.getvalue() == b"a,b,c\r\n"


@pytest.mark.parametrize(
    "short",
    [
        cut(csv(b"a,b,c\r\n"), 1),
        cut(csv(b"a,b,c\r\n"), 7),
        Answer(CHUNKED + b"7\r\na,b", cut=True),
        Answer(CHUNKED + b"7\r\na,b,c\r\n\r\n", cut=True),
        Answer(CHUNKED, cut=True),
        Answer(UNBOUNDED + b"a,b,c\r\n", cut=True),
    ],
)
def test_a_csv_that_is_or_may_be_cut_raises_service_unavailable(
    client: Client, server: Server, short: Answer
) -> None:
    server.says(ok(), short)
    with pytest.raises(ServiceUnavailable, match="cut"):
        client.failures_csv("J", io.BytesIO())


@pytest.mark.parametrize("other", [page(200), page(502), error(503, "STORE_UNAVAILABLE")])
def test_an_answer_that_is_not_csv_is_not_written(client: Client, server: Server, other: Answer) -> None:
    server.says(ok(), other)
    file = io.BytesIO()
    with pytest.raises(ServiceUnavailable, match=r"/transaction-jobs/J/failures\.csv"):
        client.failures_csv("J", file)
    assert file.getvalue() == b""


def test_the_csv_of_an_unknown_job_raises_job_not_found(client: Client, server: Server) -> None:
    server.says(error(404, "JOB_NOT_FOUND"))
    with pytest.raises(JobNotFound):
        client.failures_csv("J", io.BytesIO())


def test_an_error_of_the_file_passes_through_and_the_client_stays_usable(client: Client, server: Server) -> None:
    class Full(io.BytesIO):
        def write(self, piece: object) -> int:
            raise OSError(28, "No space left on device")

    server.says(ok(), csv(b"a,b,c\r\n" * 100_000), ok())
    with pytest.raises(OSError, match="No space left"):
        client.failures_csv("J", Full())
    assert client.get("J").succeeded == 412
