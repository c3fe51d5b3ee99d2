"""A receiver of webhooks in a process of its own: it answers 200 at once, and notes when it was told of a job."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe


def receive(pipe: Pipe) -> None:
    """The body of the process: sends its port, and whenever it is asked, when it was told of which job."""
    told: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            now = time.monotonic()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.setdefault(json.loads(body)["data"]["jobId"], now)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pipe.send(server.server_port)
        while pipe.recv() is None:
            pipe.send(dict(told))
        server.shutdown()
