"""The floor: a WSGI function that returns constant bytes, under the server that batchstatus runs on."""

from batchstatus.settings import Settings
from batchstatus.web.server.serve import Server

BODY = b'{"success":true,"job":' + b'"%s"}' % (b"x" * 380)
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]


def application(environ, start_response):
    start_response("200 OK", HEADERS)
    return [BODY]


class Bare(Server):
    """The same gunicorn, another application."""

    def load(self):
        return application


if __name__ == "__main__":
    Bare(Settings.from_env()).run()
