"""The service with a hook that does nothing, so that every request goes through all of Flask."""

from batchstatus.settings import Settings
from batchstatus.web import Service
from batchstatus.web.server.serve import Server


class Hooked(Server):
    """`batchstatus serve` with something hooked into its application."""

    def load(self) -> Service:
        app = super().load()
        app.before_request(lambda: None)
        return app


if __name__ == "__main__":
    Hooked(Settings.from_env()).run()
