"""Another organization's job cannot be told from an unknown one, not even by the time of the answer."""

import random
import time
from statistics import NormalDist, median

import pytest

from batchstatus import JobStore
from batchstatus.model.ids import new_job_id
from tests.support.rawhttp import Answer, RawConnection, request
from tests.support.service import LiveService

PAIRS = 1_000
NOT_BY_CHANCE = 1e-6
"""The significance level: a less probable difference is not taken for chance."""


def mann_whitney(these: list[float], those: list[float]) -> float:
    """Returns the two-sided p-value of the Mann-Whitney U test: the probability of such a difference by chance."""
    ranked = sorted([(value, True) for value in these] + [(value, False) for value in those])
    rank_sum = sum(rank for rank, (_, is_one_of_these) in enumerate(ranked, 1) if is_one_of_these)
    n, m = len(these), len(those)
    deviation = (n * m * (n + m + 1) / 12) ** 0.5
    z = (rank_sum - n * (n + m + 1) / 2) / deviation
    return 2 * NormalDist().cdf(-abs(z))


def test_the_measure_detects_a_difference_only_where_there_is_one() -> None:
    chance = random.Random(1)
    these, those = ([chance.lognormvariate(0, 0.5) for _ in range(PAIRS)] for _ in range(2))
    assert mann_whitney(these, those) > 0.01
    assert mann_whitney(these, [value * 1.2 for value in those]) < NOT_BY_CHANCE


@pytest.mark.slow
def test_another_organizations_job_takes_as_long_as_an_unknown_one(
    live: LiveService, real_store: JobStore
) -> None:
    # Given a large job of another organization
    key, _ = real_store.api_keys.create("org_acme", ["transactions:create"])
    theirs = real_store.create("org_other", "transaction_batch", metadata={"a": "x" * 10_000})
    with real_store.run("org_other", theirs.job_id) as run:
        for number in range(1_000):
            run.failed({"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": "x" * 500})
    foreign, unknown = (
        request("GET", f"/batch-import/jobs/{job_id}?include=failures", key=key)
        for job_id in (theirs.job_id, new_job_id())
    )
    seconds: dict[bytes, list[float]] = {foreign: [], unknown: []}
    answers: list[Answer] = []

    # When that job and an unknown one are requested alternately, in random order
    with RawConnection(live.port) as connection:
        for _ in range(PAIRS):
            for asked in random.sample([foreign, unknown], 2):
                started = time.perf_counter()
                connection.send(asked)
                answers.append(connection.receive())
                seconds[asked].append(time.perf_counter() - started)

    # Then neither the answers nor their times tell the two apart
    assert answers[0].refusal == (404, "JOB_NOT_FOUND")
    assert all(answer.unnamed == answers[0].unnamed for answer in answers)
    probability = mann_whitney(seconds[foreign], seconds[unknown])
    assert probability > NOT_BY_CHANCE, (probability, median(seconds[foreign]), median(seconds[unknown]))
