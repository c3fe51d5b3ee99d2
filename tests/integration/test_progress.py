"""What the scripts note of a job's pace, and what is read from it."""

import time
from dataclasses import replace

import pytest
import redis

from batchstatus import Job, JobStore, Status
from batchstatus.model.messages import Batch, Claim, Ending
from batchstatus.protocol import verbs
from tests.support.sdk import ORG, claim_and_vanish, fields, keys_of, store_ms
from tests.support.waiting import wait_until

KIND = "transaction_batch"


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, KIND, total_items=100, takeover_s=3600)


def claim(store: JobStore, job: Job, token: str = "t") -> Claim:
    found = verbs.claim(store.connection, keys_of(job), token)
    assert isinstance(found, Claim)
    return found


def numbers(client: "redis.Redis", job: Job) -> list[int]:
    """When the next mark is due, and three marks."""
    return [*map(int, fields(client, job)["pace"].split())]


def age(client: "redis.Redis", job: Job, ms: int) -> None:
    """Make the claim and all that was noted since look that much older."""
    due, *marks = numbers(client, job)
    older = [due - ms, *(number if place % 2 else number - ms for place, number in enumerate(marks))]
    claimed_ms = int(fields(client, job)["claimedAt"]) - ms
    client.hset(keys_of(job).job, mapping={"pace": " ".join(map(str, older)), "claimedAt": claimed_ms})


def test_a_claim_notes_when_it_was_and_at_which_row(store: JobStore, client: "redis.Redis", job: Job) -> None:
    before_ms = store_ms(client)
    claim(store, job)
    stored = fields(client, job)
    assert before_ms <= int(stored["claimedAt"]) <= store_ms(client)
    assert stored["pace"] == " ".join([stored["claimedAt"], *[stored["claimedAt"], "0"] * 3])


def test_reports_move_the_marks_on_when_one_is_due_and_not_before(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claimed = claim(store, job)
    begun = numbers(client, job)[1]
    verbs.report(store.connection, keys_of(job), claimed, 1, Batch(succeeded=5))
    due, at, rows, *rest = numbers(client, job)
    assert (rows, rest) == (5, [begun, 0, begun, 0])
    assert due == at + 2000
    verbs.report(store.connection, keys_of(job), claimed, 2, Batch(succeeded=5))
    assert numbers(client, job) == [due, at, 5, *rest]
    age(client, job, 80_000)
    verbs.report(store.connection, keys_of(job), claimed, 3, Batch(succeeded=10, checkpoint=1))
    due, at, *rest = numbers(client, job)
    assert rest[:3] == [20, begun_of(client, job, 1), 5]
    assert rest[-1] == 0
    assert due - at == pytest.approx(10_000, abs=1_000), "an eighth of the time since the claim"


def begun_of(client: "redis.Redis", job: Job, place: int) -> int:
    """The time of a mark: 0 the newest, 2 the first."""
    return numbers(client, job)[1 + 2 * place]


def test_a_heartbeat_moves_no_mark(store: JobStore, client: "redis.Redis", job: Job) -> None:
    claimed = claim(store, job)
    age(client, job, 60_000)
    noted = numbers(client, job)
    verbs.report(store.connection, keys_of(job), claimed, 0)
    assert numbers(client, job) == noted


def test_the_pace_is_read_from_what_the_scripts_note(store: JobStore, client: "redis.Redis", job: Job) -> None:
    claimed = claim(store, job)
    verbs.report(store.connection, keys_of(job), claimed, 1, Batch(succeeded=20))
    age(client, job, 10_000)
    verbs.report(store.connection, keys_of(job), claimed, 2, Batch(succeeded=20))
    found = store.get(ORG, job.job_id).progress
    assert found.rows_per_second == pytest.approx(2, rel=0.1)
    assert found.seconds_left == pytest.approx(30, rel=0.1)
    assert found.seconds_left_low < found.seconds_left < found.seconds_left_high


def test_a_takeover_starts_anew(store: JobStore, client: "redis.Redis", job: Job) -> None:
    claim_and_vanish(client, job, succeeded=90, checkpoint=90)
    age(client, job, 60_000)
    wait_until(
        lambda: store.settle(ORG, job.job_id) is not None and "batchAwaitingWorker" in fields(client, job), 20
    )
    before_ms = store_ms(client)
    claim(store, job, "another")
    noted = numbers(client, job)
    assert noted[2::2] == [90, 90, 90]
    assert min(noted[1::2]) >= before_ms
    assert store.get(ORG, job.job_id).progress.rows_per_second is None


def test_the_pace_of_a_split_job_is_that_of_all_its_parts_and_starts_anew_where_rows_are_taken_back(
    store: JobStore, client: "redis.Redis"
) -> None:
    job = store.create(ORG, KIND, total_items=100, parts=3, takeover_s=3600)
    one, other = (store.steps(ORG, job.job_id, part) for part in (1, 2))
    claims = one.claim("a"), other.claim("b")
    claimed_at = fields(client, job)["claimedAt"]
    assert fields(client, job)["pace"] == " ".join([claimed_at, *[claimed_at, "0"] * 3])
    one.report(claims[0], 1, Batch(succeeded=20, checkpoint=20), paused=False)
    age(client, job, 10_000)
    other.report(claims[1], 1, Batch(succeeded=20), paused=False)
    found = store.get(ORG, job.job_id).progress
    assert found.rows_per_second == pytest.approx(2, rel=0.1)
    assert found.seconds_left == pytest.approx(30, rel=0.1)
    claimed_at, before_ms = fields(client, job)["claimedAt"], store_ms(client)
    other.finish(claims[1], Ending(Status.INTERRUPTED), 1)
    claims = claims[0], other.claim("c")
    assert numbers(client, job)[2::2] == [20, 20, 20]
    assert min(numbers(client, job)[1::2]) >= before_ms
    assert fields(client, job)["claimedAt"] == claimed_at
    for steps, each in zip((one, other), claims, strict=True):
        steps.finish(each, Ending(Status.INTERRUPTED), None)
    age(client, job, 10_000)
    one.claim("d")
    assert numbers(client, job)[2::2] == [20, 20, 20]
    assert int(fields(client, job)["claimedAt"]) >= before_ms


def test_a_resume_starts_anew(store: JobStore, client: "redis.Redis", job: Job) -> None:
    claimed = claim(store, job)
    verbs.report(store.connection, keys_of(job), claimed, 1, Batch(succeeded=40))
    store.control(ORG, job.job_id, "pause")
    verbs.report(store.connection, keys_of(job), claimed, 1, paused=True)
    age(client, job, 60_000)
    assert store.get(ORG, job.job_id).progress.rows_per_second is None
    before_ms = store_ms(client)
    store.control(ORG, job.job_id, "resume")
    noted = numbers(client, job)
    assert noted[2::2] == [40, 40, 40]
    assert min(noted[1::2]) >= before_ms


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_an_ended_job_keeps_its_start_alone(store: JobStore, client: "redis.Redis", job: Job, end: str) -> None:
    claimed = claim(store, job)
    verbs.finish(store.connection, keys_of(job), claimed, verbs.Ending(verbs.Status(end)), placed=end)
    stored = fields(client, job)
    assert (stored["status"], "pace" in stored, "claimedAt" in stored) == (end, False, True)


def test_a_job_claimed_by_an_older_release_has_no_progress_and_is_counted(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claimed = claim(store, job)
    client.hdel(keys_of(job).job, "pace", "claimedAt")
    verbs.report(store.connection, keys_of(job), claimed, 1, Batch(succeeded=5))
    found = store.get(ORG, job.job_id)
    assert (found.succeeded, found.progress.started_at, found.progress.rows_per_second) == (5, None, None)
    assert "pace" not in fields(client, job)


@pytest.mark.parametrize(
    "damage", [{"claimedAt": ""}, {"claimedAt": None}, {"pace": "soon"}, {"pace": ""}], ids=str
)
def test_a_damaged_note_stops_no_report(
    store: JobStore, client: "redis.Redis", job: Job, damage: dict[str, str | None]
) -> None:
    claimed = claim(store, job)
    age(client, job, 60_000)
    for name, value in damage.items():
        if value is None:
            client.hdel(keys_of(job).job, name)
        else:
            client.hset(keys_of(job).job, name, value)
    verbs.report(store.connection, keys_of(job), claimed, 1, Batch(succeeded=5))
    assert store.get(ORG, job.job_id).succeeded == 5
    verbs.report(store.connection, keys_of(job), claimed, 1)


def test_the_entity_tag_and_the_revision_do_not_know_of_the_pace(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim(store, job)
    before = store.get(ORG, job.job_id)
    age(client, job, 60_000)
    after = store.get(ORG, job.job_id)
    assert (after.rev, after) == (before.rev, before)
    assert after.pace != before.pace


def test_a_real_import_at_a_steady_pace_is_foreseen(real_store: JobStore) -> None:
    job = real_store.create(ORG, KIND, total_items=10_000)
    with real_store.run(ORG, job.job_id) as run:
        started = time.monotonic()

        def goes_on() -> bool:
            run.succeeded(5)  # 100 rows a second, a little less on a busy machine
            return real_store.get(ORG, job.job_id).progress.seconds_left is not None

        wait_until(goes_on, 30)
        counted, elapsed_s = 0, time.monotonic() - started
        found = real_store.get(ORG, job.job_id)
        counted = found.done
    rate = counted / elapsed_s
    assert found.progress.rows_per_second == pytest.approx(rate, rel=0.5)
    assert found.progress.seconds_left_low < (10_000 - counted) / rate < found.progress.seconds_left_high
    assert replace(found).progress == found.progress
