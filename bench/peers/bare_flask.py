"""A Flask view that returns constant bytes, under the server that batchstatus runs on."""

from flask import Flask, Response

from batchstatus.settings import Settings
from batchstatus.web.server.serve import Server

BODY = b'{"success":true,"job":' + b'"%s"}' % (b"x" * 380)


class Bare(Server):
    """The same gunicorn, another application."""

    def load(self) -> Flask:
        app = Flask("bare")
        app.add_url_rule(
            "/batch-import/jobs/<job_id>", "job", lambda job_id: Response(BODY, content_type="application/json")
        )
        return app


if __name__ == "__main__":
    Bare(Settings.from_env()).run()
