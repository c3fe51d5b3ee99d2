"""The tree of errors, and the drawing of it in the docstring."""

import pickle
import re

import pytest

from batchstatus.model import errors
from batchstatus.model.errors import BatchStatusError, InvalidValue, JobAborted, JobEnded, LeaseHeld
from batchstatus.model.job import Status


def drawn() -> dict[str, str]:
    """Returns the tree in the module's docstring: each class and its base."""
    above, found = ["BatchStatusError"], {}
    for indent, name in re.findall(r"^((?:│   |    )*)[├└]── (\w+)  ", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        found[name] = above[depth]
        above[depth + 1 :] = [name]
    return found


def real() -> dict[str, str]:
    """Returns the classes of the module, each with its base."""
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    return {each.__name__: each.__bases__[0].__name__ for each in classes if each is not BatchStatusError}


def test_the_docstring_draws_the_class_tree():
    assert drawn() == real()


def test_the_docstring_lists_the_classes_in_module_order():
    assert list(drawn()) == list(real())


def test_only_invalid_value_is_a_value_error():
    assert issubclass(InvalidValue, ValueError)
    assert [name for name in real() if issubclass(getattr(errors, name), ValueError)] == ["InvalidValue"]


def test_lease_held_carries_the_remaining_time():
    assert LeaseHeld("held", left_s=1.5).left_s == 1.5
    assert LeaseHeld("held").left_s == 0


def test_job_aborted_carries_code_message_and_details():
    error = JobAborted("INVALID_ENTITY_REFERENCES", "3 rows", {"rows": [5, 8, 9]})
    assert (error.code, error.message, error.details) == (
        "INVALID_ENTITY_REFERENCES",
        "3 rows",
        {"rows": [5, 8, 9]},
    )
    assert str(error) == "INVALID_ENTITY_REFERENCES: 3 rows"


@pytest.mark.parametrize("code", ["AB", "A1", "A_" + "B" * 62])
def test_a_code_has_capitals_digits_and_underscores(code):
    assert JobAborted(code, "why").code == code


@pytest.mark.parametrize("code", ["", "A", "a_code", "1A", "_A", "A B", "A-B", "ÄB", "AB\n", "A" * 65, None, 5])
def test_any_other_code_is_refused_and_named(code):
    with pytest.raises(InvalidValue, match=rf"^code {re.escape(repr(code))} "):
        JobAborted(code, "why")


def test_job_aborted_can_be_pickled():
    error = pickle.loads(pickle.dumps(JobAborted("AB", "why", [1])))
    assert (error.code, error.message, error.details) == ("AB", "why", [1])


def test_job_ended_says_the_same_after_a_pool_of_processes():
    ended = JobEnded(Status.CANCELLED)
    error = pickle.loads(pickle.dumps(ended))
    assert (str(error), error.status) == (str(ended), Status.CANCELLED)
