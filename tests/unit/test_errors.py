"""One tree of errors, as it is drawn."""

import pickle
import re

import pytest

from batchstatus import errors
from batchstatus.errors import BatchStatusError, InvalidValue, JobAborted, LeaseHeld


def drawn() -> dict[str, str]:
    """The tree in the module's docstring: each class and the one it hangs on."""
    above, found = ["BatchStatusError"], {}
    for indent, name in re.findall(r"^((?:│   |    )*)[├└]── (\w+)  ", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        found[name] = above[depth]
        above[depth + 1 :] = [name]
    return found


def real() -> dict[str, str]:
    """The classes of the module, each with its base in the tree."""
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    return {each.__name__: each.__bases__[0].__name__ for each in classes if each is not BatchStatusError}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    assert drawn() == real()


def test_the_drawing_names_the_classes_in_the_order_of_the_module():
    assert list(drawn()) == list(real())


def test_a_bad_value_is_a_value_error_too():
    assert issubclass(InvalidValue, ValueError)
    assert [name for name in real() if issubclass(getattr(errors, name), ValueError)] == ["InvalidValue"]


def test_a_held_lease_says_how_long_it_still_runs():
    assert LeaseHeld("held", left_s=1.5).left_s == 1.5
    assert LeaseHeld("held").left_s == 0


def test_an_aborted_job_says_why_to_machines_and_to_people():
    error = JobAborted("INVALID_ENTITY_REFERENCES", "3 rows", {"rows": [5, 8, 9]})
    assert (error.code, error.message, error.details) == (
        "INVALID_ENTITY_REFERENCES",
        "3 rows",
        {"rows": [5, 8, 9]},
    )
    assert str(error) == "INVALID_ENTITY_REFERENCES: 3 rows"


@pytest.mark.parametrize("code", ["AB", "A1", "A_" + "B" * 62])
def test_a_code_is_capitals_digits_and_underscores(code):
    assert JobAborted(code, "why").code == code


@pytest.mark.parametrize("code", ["", "A", "a_code", "1A", "_A", "A B", "A-B", "ÄB", "AB\n", "A" * 65, None, 5])
def test_any_other_code_is_refused_by_its_name(code):
    with pytest.raises(InvalidValue, match=rf"^code {re.escape(repr(code))} "):
        JobAborted(code, "why")


def test_an_aborted_job_survives_the_way_from_another_process():
    error = pickle.loads(pickle.dumps(JobAborted("AB", "why", [1])))
    assert (error.code, error.message, error.details) == ("AB", "why", [1])
