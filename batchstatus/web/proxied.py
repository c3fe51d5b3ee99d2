"""Requests that come through a proxy: where callers see the service."""

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def behind_proxy(app: WSGIApplication) -> WSGIApplication:
    """Return the application for requests of one proxy, whose X-Forwarded-… headers are trusted.

    X-Forwarded-Prefix is the path below which callers see the service, whether or not the proxy has removed it.
    """

    def below_prefix(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            environ["SCRIPT_NAME"] = prefix
            path = environ["PATH_INFO"]
            if path.startswith(f"{prefix}/"):
                environ["PATH_INFO"] = path.removeprefix(prefix)
        return app(environ, start_response)

    return ProxyFix(below_prefix, x_for=1, x_proto=1, x_host=1, x_prefix=0)
