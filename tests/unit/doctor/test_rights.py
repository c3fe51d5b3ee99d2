"""The commands that the doctor looks for are those that docs/operations.md grants."""

from batchstatus.doctor.rights import commands
from batchstatus.model.keys import Keys
from tests.support.permissions import documented_addition, documented_rule

# A transaction has to be open for the doctor to look at all, and cannot be queued in itself.
OPENED, CLOSED = "+multi", "+exec"


def test_the_doctor_looks_for_exactly_the_documented_commands():
    looked_for = {f"+{words[0].lower()}" for words in commands(Keys("batchstatus"), with_wait=False)}
    assert looked_for | {OPENED, CLOSED} == {word for word in documented_rule() if word.startswith("+")}


def test_with_replicas_it_looks_for_wait_too():
    without, with_wait = ({words[0].lower() for words in commands(Keys("b"), with_wait=w)} for w in (False, True))
    assert {f"+{word}" for word in with_wait - without} == {*documented_addition("With `min_replicas`")}
