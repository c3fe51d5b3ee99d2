"""A CSV of a million failed rows is streamed in constant memory (contract §3)."""

from pathlib import Path

import pytest
import redis

from batchstatus import JobStore, Kind
from tests.support.rawhttp import download, exchange, request
from tests.support.service import LiveService
from tests.support.waiting import wait_until
from tests.support.wire import CSV, ORG, job_key, put_job

ROWS, A_BATCH = 1_000_000, 10_000
MAX_GROWTH_KIB = 20 * 1024


def resident_kib(pid: int) -> int:
    """Returns the resident memory of a process in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def put_a_million(client: "redis.Redis") -> None:
    put_job(client, "big", kind="entity_automatic", status="completed", totalItems=ROWS, failed=ROWS)
    failures = f"{job_key('big')}:failures"
    for start in range(0, ROWS, A_BATCH):
        numbers = range(start, start + A_BATCH)
        client.rpush(
            failures, *(f'{{"taxId":"{n}","type":"company","message":"row {n} is wrong"}}' for n in numbers)
        )
    client.expire(failures, 3_600)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_streaming_a_million_rows_does_not_grow_the_processes(
    live: LiveService, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["entities:bulk_import"])
    put_a_million(redis_client)
    put_job(redis_client, "small", kind="entity_automatic", failures=['{"taxId":"1"}'] * 5_000)
    path = CSV[Kind.ENTITY_AUTOMATIC]
    small, big = (request("GET", path.format(job_id), key=key) for job_id in ("small", "big"))
    for _ in range(20):  # warm up all processes
        assert exchange(live.port, small).status == 200
    before = {pid: resident_kib(pid) for pid in live.process_ids()}
    largest = dict(before)
    lines, last = 0, b""
    with download(live.port, big) as response:
        while piece := response.read(1 << 20):
            lines += piece.count(b"\r\n") + (last.endswith(b"\r") and piece.startswith(b"\n"))
            last = piece
            largest = {pid: max(largest[pid], resident_kib(pid)) for pid in before}
        assert response.isclosed()
    assert lines == ROWS + 1
    assert last.endswith(b"row 999999 is wrong\r\n")
    assert live.process_ids() == list(before)
    growth = {pid: largest[pid] - before[pid] for pid in before}
    assert max(growth.values()) < MAX_GROWTH_KIB, growth


@pytest.mark.slow
def test_a_slow_reader_gets_every_byte(
    live: LiveService, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    """The rows exceed all buffers on the way, so the service cannot send everything at once."""
    key, _ = real_store.api_keys.create(ORG, ["entities:bulk_import"])
    rows = [f'{{"taxId":"{number}","type":"company","message":"{"x" * 300}"}}' for number in range(50_000)]
    put_job(redis_client, "wide", kind="entity_automatic", failures=rows)
    wide = request("GET", CSV[Kind.ENTITY_AUTOMATIC].format("wide"), key=key)
    with download(live.port, wide, receive_buffer=4_096) as response:
        seen: list[int] = []

        def stands_still() -> bool:
            seen.append(redis_client.info("commandstats").get("cmdstat_lrange", {"calls": 0})["calls"])
            return len(seen) > 20 and len({*seen[-20:]}) == 1 and seen[-1] > 0

        wait_until(stands_still, 30, "the service asks for no more rows until some are read")
        lines = response.read().split(b"\r\n")
    assert (len(lines), lines[-1]) == (len(rows) + 2, b"")
    assert {line.count(b"x") for line in lines[1:-1]} == {300}
