"""`batchstatus run`: real programs in sh, Python and Node as workers, and what becomes of their jobs."""

import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchstatus import Job, JobStore
from tests.support.programs import Program, finished, programs
from tests.support.waiting import wait_until

ORG = "org_programs"
KIND = "transaction_batch"
ROW = '{"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no"}'

LISTENER = """
import json, sys
start = json.loads(sys.stdin.readline())
print(json.dumps({"succeeded": 1, "checkpoint": 1}), flush=True)
for line in sys.stdin:
    control = json.loads(line)["control"]
    print("told", control, file=sys.stderr, flush=True)
    if control == "pause":
        print(json.dumps({"paused": True}), flush=True)
    else:
        break
"""
"""A program that counts a row, says that it obeys a pause, and ends when it is told to go on or to stop."""

Started = Callable[..., Program]


@pytest.fixture
def start(redis_url: str) -> Iterator[Started]:
    """Starts `batchstatus run` with a program."""
    with programs() as begin:

        def begun(job_id: str, *program: str, options: tuple[str, ...] = ()) -> Program:
            command = [sys.executable, "-m", "batchstatus", "run", "--org", ORG, *options, job_id, "--", *program]
            return begin(command, {"BATCHSTATUS_REDIS_URL": redis_url})

        yield begun


def counts(job: Job) -> tuple[str, int, int, int]:
    """Returns how a job stands."""
    return job.status, job.succeeded, job.failed, job.skipped


def test_a_shell_script_counts_rows_and_its_exit_completes_the_job(real_store: JobStore, start: Started) -> None:
    script = f"""
    echo begin
    echo '{{"totalItems": 4}}'
    echo '{{"succeeded": 2, "checkpoint": 2}}'
    echo '{{"failures": [{ROW}], "skips": [{{"externalId": "T-2", "code": "SKIPPED"}}], "checkpoint": 4}}'
    echo "of $BATCHSTATUS_JOB_ID"
    """
    assert finished(start("shell", "sh", "-c", script, options=("--create", KIND))) == (0, "begin\nof shell\n", "")
    job = real_store.get(ORG, "shell")
    assert (counts(job), job.total_items) == (("completed", 2, 1, 1), 4)


def test_an_exit_code_fails_the_job_with_the_last_line_of_the_errors(real_store: JobStore, start: Started) -> None:
    script = "echo first >&2; echo 'cannot open x.csv' >&2; echo '{\"succeeded\": 1}'; exit 3"
    code, out, err = finished(start("failing", "sh", "-c", script, options=("--create", KIND)))
    assert (code, out) == (1, "")
    assert err.splitlines()[:2] == ["first", "cannot open x.csv"]
    job = real_store.get(ORG, "failing")
    assert counts(job) == ("failed", 1, 0, 0)
    assert job.worker_error == "ProgramFailed: exit code 3: cannot open x.csv"
    assert job.job_failure is not None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"succeeded": -3}', "succeeded -3"),
        ('{"succeeded": 1.5}', "succeeded 1.5"),
        ('{"level": 30}', "unknown member 'level'"),
        ('{"succeeded": 5', "no JSON"),
        ('{"succeeded": 5, "failures": [{"code": 7}]}', "needs externalId"),
        ('{"succeeded": 5, "failures": 1}', "failures is not a list"),
    ],
)
def test_a_bad_message_counts_nothing_and_fails_the_job(
    real_store: JobStore, start: Started, line: str, says: str
) -> None:
    job_id = f"bad-{len(line)}"
    script = f"echo '{{\"succeeded\": 1}}'; echo '{line}'; exec sleep 600"
    code, _, err = finished(start(job_id, "sh", "-c", script, options=("--create", KIND)))
    assert code == 1
    assert "line 2 of its output" in err
    assert says in err
    assert len(err.splitlines()) == 1
    assert counts(real_store.get(ORG, job_id)) == ("failed", 1, 0, 0)


def test_a_row_with_a_bad_code_counts_and_ends_no_import(real_store: JobStore, start: Started) -> None:
    script = """echo '{"failures": [{"externalId": "T-1", "code": "no such code", "message": "x"}]}'"""
    assert finished(start("bad-code", "sh", "-c", script, options=("--create", KIND)))[0] == 0
    assert counts(real_store.get(ORG, "bad-code")) == ("completed", 0, 1, 0)


def test_a_program_that_is_killed_leaves_its_job_to_the_next_which_goes_on(
    real_store: JobStore, start: Started
) -> None:
    killed = 'echo \'{"succeeded": 3, "checkpoint": 3}\'; echo \'{"succeeded": 2}\'; kill -9 $$'
    first = start("killed", "sh", "-c", killed, options=("--create", KIND, "--takeover-s", "600"))
    assert finished(first)[0] == 128 + signal.SIGKILL
    job = real_store.get(ORG, "killed")
    assert job.status == "running"
    assert job.metadata["batchAwaitingWorker"] is True
    rest = 'start=${BATCHSTATUS_CHECKPOINT:-0}; echo "{\\"succeeded\\": $((10 - start)), \\"checkpoint\\": 10}"'
    assert finished(start("killed", "sh", "-c", rest))[0] == 0
    assert counts(real_store.get(ORG, "killed")) == ("completed", 10, 0, 0)


def test_sigterm_ends_the_program_and_gives_the_job_back(real_store: JobStore, start: Started) -> None:
    script = 'echo \'{"succeeded": 1, "checkpoint": 1}\'; echo up; exec sleep 600'
    process = start("stopped", "sh", "-c", script, options=("--create", KIND, "--takeover-s", "600"))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert finished(process)[0] == 128 + signal.SIGTERM
    job = real_store.get(ORG, "stopped")
    assert (job.succeeded, job.metadata.get("batchAwaitingWorker")) == (1, True)


def test_the_job_of_a_command_that_is_killed_is_taken_over_and_its_program_reads_an_end(
    real_store: JobStore, start: Started, tmp_path
) -> None:
    program = LISTENER + f"\nopen({str(tmp_path / 'ended')!r}, 'w').close()\n"
    real_store.create(ORG, KIND, job_id="orphan", takeover_s=600)
    process = start("orphan", sys.executable, "-c", program, options=("--lease-s", "2"))
    wait_until(lambda: real_store.get(ORG, "orphan").succeeded == 1)
    process.kill()
    wait_until((tmp_path / "ended").exists)
    rest = "echo '{\"succeeded\": 9}'"
    assert finished(start("orphan", "sh", "-c", rest, options=("--wait-s", "30")))[0] == 0
    assert counts(real_store.get(ORG, "orphan")) == ("completed", 10, 0, 0)


def test_a_program_is_told_of_a_pause_and_of_its_end(real_store: JobStore, start: Started) -> None:
    real_store.create(ORG, KIND, job_id="paused")
    process = start("paused", sys.executable, "-c", LISTENER)
    wait_until(lambda: real_store.get(ORG, "paused").succeeded == 1)
    real_store.control(ORG, "paused", "pause")
    wait_until(lambda: real_store.get(ORG, "paused").metadata.get("batchPaused"))
    real_store.control(ORG, "paused", "resume")
    assert finished(process) == (0, "", "told pause\ntold run\n")
    assert counts(real_store.get(ORG, "paused")) == ("completed", 1, 0, 0)


@pytest.mark.parametrize("obeys", [True, False])
def test_a_cancel_is_told_and_then_enforced(real_store: JobStore, start: Started, obeys: bool) -> None:
    job_id = f"cancelled-{obeys}"
    real_store.create(ORG, KIND, job_id=job_id)
    program = LISTENER if obeys else LISTENER + "\nimport time\ntime.sleep(600)\n"
    process = start(job_id, sys.executable, "-c", program, options=("--cancel-s", "600" if obeys else "0.3"))
    wait_until(lambda: real_store.get(ORG, job_id).succeeded == 1)
    real_store.control(ORG, job_id, "cancel")
    assert finished(process) == (1, "", "told cancel\n")
    assert counts(real_store.get(ORG, job_id)) == ("cancelled", 1, 0, 0)


def test_output_that_a_child_of_the_program_keeps_open_holds_up_no_end(
    real_store: JobStore, start: Started
) -> None:
    script = "sleep 20 & echo '{\"succeeded\": 1}'"
    assert finished(start("kept-open", "sh", "-c", script, options=("--create", KIND)))[0] == 0
    assert counts(real_store.get(ORG, "kept-open")) == ("completed", 1, 0, 0)


def test_a_program_that_is_not_there_leaves_the_job_as_it_is(real_store: JobStore, start: Started) -> None:
    real_store.create(ORG, KIND, job_id="untouched")
    code, _, err = finished(start("untouched", "no-such-program"))
    assert (code, err) == (2, "batchstatus: there is no program 'no-such-program'\n")
    assert real_store.get(ORG, "untouched").status == "queued"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")
def test_a_node_program_reads_where_to_start_and_counts(real_store: JobStore, start: Started) -> None:
    program = """
    require('readline').createInterface({input: process.stdin}).once('line', line => {
      const {checkpoint, metadata} = JSON.parse(line)
      for (let n = checkpoint ?? 0; n < metadata.rows; n += 10)
        console.log(JSON.stringify({succeeded: 10, checkpoint: n + 10}))
      process.exitCode = 0
      process.stdin.unref()
    })
    """
    real_store.create(ORG, KIND, job_id="node", metadata={"rows": 1_000})
    assert finished(start("node", "node", "-e", program)) == (0, "", "")
    assert counts(real_store.get(ORG, "node")) == ("completed", 1_000, 0, 0)


def test_four_programs_work_on_the_parts_of_one_job(real_store: JobStore, start: Started) -> None:
    script = (
        'test $BATCHSTATUS_JOB_ID = split && printf \'{"succeeded": %s, "totalItems": 9}\\n\' $BATCHSTATUS_PART'
    )
    options = ("--create", KIND, "--parts", "4", "--part")
    running = [start("split", "sh", "-c", script, options=(*options, str(part))) for part in (1, 2, 3, 4)]
    assert [finished(each) for each in running] == [(0, "", "")] * 4
    job = real_store.get(ORG, "split")
    assert (counts(job), job.total_items) == (("completed", 10, 0, 0), 36)


def test_a_program_that_fails_fails_the_job_and_its_part_says_so(real_store: JobStore, start: Started) -> None:
    real_store.create(ORG, KIND, job_id="split", parts=2)
    assert finished(start("split", "sh", "-c", "exit 3", options=("--part", "2")))[0] == 1
    assert real_store.get(ORG, "split").status == "failed"
    assert finished(start("split", "true", options=("--part", "1")))[0] == 3
    assert finished(start("split", "true", options=("--parts", "2")))[0] == 2


def test_the_shell_script_of_the_documents_counts_its_rows_and_goes_on_at_its_checkpoint(
    real_store: JobStore, start: Started, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    (script,) = re.findall(r"^```sh\n(# import.sh:.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "rows.txt").write_text("".join(f"T-{number}\n" for number in range(1, 1_001)))
    dies = "[ -e again ] || { touch again; kill -9 $$; sleep 9; }"
    load = f'load() {{ case "$1" in *7) return 1 ;; T-300) {dies} ;; esac; }}'
    (tmp_path / "import.sh").write_text(f"{load}\n{script}")
    # The shell is killed at row 300: the lease is given back, and the next one goes on there.
    program, options = (
        ("sh", "-c", f"cd {tmp_path} && exec sh import.sh"),
        ("--create", KIND, "--takeover-s", "60"),
    )
    assert finished(start("november", *program, options=options))[0] == 128 + signal.SIGKILL
    assert real_store.get(ORG, "november").done == 299
    assert finished(start("november", *program, options=options)) == (0, "", "")
    job = real_store.get(ORG, "november")
    assert (counts(job), job.total_items) == (("completed", 900, 100, 0), 1_000)
