"""The service's time, by which a caller tells how long ago something was."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from batchstatus.client import Client
from tests.unit.client.answers import ok
from tests.unit.client.service import Server

SOON = timedelta(seconds=30)


def dated(ahead: timedelta) -> dict[str, str]:
    return {"Date": format_datetime((datetime.now(UTC) + ahead).replace(microsecond=0), usegmt=True)}


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_time_is_that_of_the_last_answer(client: Client, server: Server, hours: int) -> None:
    server.says(ok(dated(timedelta(hours=hours))), ok(dated(timedelta())))
    client.get("J")
    assert abs(client.now() - datetime.now(UTC) - timedelta(hours=hours)) < SOON
    client.get("J")
    assert abs(client.now() - datetime.now(UTC)) < SOON


def test_a_difference_that_a_date_cannot_tell_is_none(client: Client, server: Server) -> None:
    server.says(ok(dated(timedelta(seconds=1))))
    client.get("J")
    assert client.now() <= datetime.now(UTC) <= client.now()


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Fri, 27 Nov 2026 14:03:00", "Fri, 99 Nov 99999 14:03:00 GMT"]
)
def test_an_answer_without_a_proper_date_leaves_this_machines_time(
    client: Client, server: Server, date: str | None
) -> None:
    server.says(ok(None if date is None else {"Date": date}))
    client.get("J")
    assert abs(client.now() - datetime.now(UTC)) < SOON
