"""Many callers at once, over plain HTTP/1.1 connections, each timed from when its request is sent."""

import http.client
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What a caller got: the status, and how long it took in seconds."""

    status: int
    seconds: float
    body: bytes


def poll_at_once(url: str, path: str, api_key: str, callers: int) -> list[Answer]:
    """One poll from each of `callers` connections, opened beforehand and sent together."""
    ready = threading.Barrier(callers)
    answers: list[Answer] = []

    def call() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.connect()
        ready.wait()
        answers.append(poll(connection, path, api_key))
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def poll(connection: http.client.HTTPConnection, path: str, api_key: str) -> Answer:
    """One poll over a connection that stays open."""
    started = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {api_key}"})
    response = connection.getresponse()
    body = response.read()
    return Answer(response.status, time.perf_counter() - started, body)
