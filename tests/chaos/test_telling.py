"""Who tells of the ends of jobs is killed with SIGKILL between each two steps: every end is told all the same."""

import pytest

from tests.chaos.telling import dispatchers_killed

KILLS = 200


@pytest.mark.slow
def test_after_200_kills_between_any_two_steps_no_end_is_without_its_notice(redis_url: str) -> None:
    found = dispatchers_killed(redis_url, KILLS)
    assert found.clean, found
    assert found.tried > KILLS // 2, "the steps are so many that most processes die of one"
