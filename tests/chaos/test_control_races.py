"""A cancel and the end of its job, asked for at the same moment: whoever is told of success has had it."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from batchstatus import JobStore, Status
from tests.conftest import ORG
from tests.support.rawhttp import Answer, RawConnection, request
from tests.support.service import LiveService

RACES = 1_000
STEP_S = 0.000_05

CANCEL = b'{"kind":"transaction_batch","action":"cancel"}'
FLAG = "batchCancelRequested"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_job_whose_cancel_was_accepted_never_completes(live: LiveService, real_store: JobStore) -> None:
    key, _ = real_store.api_keys.create(ORG, ["transactions:create"])
    wins: Counter[Status] = Counter()
    head_start_s = 0.0  # of the cancel; below 0, of the end: moved towards whoever lost, so that both win often

    def cancel(connection: RawConnection, job_id: str) -> Answer:
        time.sleep(max(0.0, -head_start_s))
        connection.send(request("POST", f"/batch-import/jobs/{job_id}/control", key=key, body=CANCEL))
        return connection.receive()

    with ThreadPoolExecutor(1) as other, RawConnection(live.port) as connection:
        for _ in range(RACES):
            job = real_store.create(ORG, "transaction_batch", total_items=3)
            with real_store.run(ORG, job.job_id) as run:
                run.succeeded(3)
                cancelling = other.submit(cancel, connection, job.job_id)
                time.sleep(max(0.0, head_start_s))
            answer, ended = cancelling.result(), real_store.get(ORG, job.job_id)
            judge(answer, ended.status)
            assert (ended.succeeded, FLAG in ended.metadata) == (3, False)
            wins[ended.status] += 1
            head_start_s += STEP_S if ended.status is Status.COMPLETED else -STEP_S

    assert wins.keys() == {Status.COMPLETED, Status.CANCELLED}
    assert min(wins.values()) > RACES / 10, wins


def judge(answer: Answer, ended_as: Status) -> None:
    """Accepted: the job was cancelled, and showed so or the flag. Refused: it had completed before."""
    if answer.status != 200:
        assert answer.refusal == (409, "JOB_ALREADY_TERMINAL")
        assert ended_as is Status.COMPLETED
        return
    shown = answer.json()["job"]
    assert (shown["status"], FLAG in shown["metadata"]) in {("running", True), ("cancelled", False)}
    assert ended_as is Status.CANCELLED
