"""Many simultaneous callers over plain HTTP/1.1 connections, each timed from the sending of its request."""

import http.client
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """An answer, and the seconds from the request to its end."""

    status: int
    seconds: float
    body: bytes


def poll_at_once(url: str, path: str, api_key: str, callers: int) -> list[Answer]:
    """Send one poll over each of `callers` open connections at the same moment. Returns the answers."""
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
    """Poll once over a connection and keep it open. Returns the answer."""
    started = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {api_key}"})
    response = connection.getresponse()
    body = response.read()
    return Answer(response.status, time.perf_counter() - started, body)
