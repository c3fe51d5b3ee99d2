"""Which view answers which path: the one table that every way into the service is made from."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit
from wsgiref.types import WSGIEnvironment

from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from batchstatus.web.call import Call
from batchstatus.web.errors import bad_request
from batchstatus.web.live.waiting import Hold
from batchstatus.web.responses import Response

View: TypeAlias = Callable[..., Response | Hold]
"""Answers a Call; called with it and, by name, with the values of the path's variables."""


class Route(NamedTuple):
    """A path with its variables, such as `/batch-import/jobs/<job_id>`, a method, a name, and the view."""

    path: str
    name: str
    view: View
    method: str = "GET"

    def variables(self) -> list[str]:
        """Return the names of the path's variables."""
        return re.findall(r"<(\w+)>", self.path)


class Router:
    """Finds the route for a path and a method. The request's Host decides nothing."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = {route.name: route for route in routes}
        rules = [Rule(each.path, endpoint=each.name, methods=[each.method]) for each in self.routes.values()]
        self._map = Map(rules, merge_slashes=False)

    def find(self, path: str, method: str) -> tuple[Route, Mapping[str, Any]]:
        """Return the route, and the values of its variables.

        Raises werkzeug's NotFound, or MethodNotAllowed with the methods that the path knows.
        """
        name, values = self._map.bind("", path_info=path, default_method=method, query_args="").match()
        return self.routes[name], values


def answer(call: Call, route: Route, values: Mapping[str, Any]) -> Response:
    """Return what the route's view answers, after holding the request if the view says so."""
    call.route, call.job_id = route.path, values.get("job_id")
    found = route.view(call, **values)
    if isinstance(found, Hold):
        call.held = call.parts.waits.hold(found)
        # Asked anew from the start: the key may have been revoked meanwhile.
        found = route.view(call.asked_anew(), **values)
    if isinstance(found, Hold):
        raise TypeError("a request that was held is not held again")
    return found


def check_target(environ: WSGIEnvironment) -> None:
    """Refuse a request without the Host that HTTP/1.1 wants, and a path with doubled slashes."""
    if "HTTP_HOST" not in environ and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        raise bad_request("A request in HTTP/1.1 needs a Host (RFC 9112 §3.2).")
    # Werkzeug strips leading slashes before it routes, so that //livez would pass for /livez.
    if "//" in environ["PATH_INFO"]:
        raise NotFound


def keep_encoded_slashes(environ: WSGIEnvironment) -> None:
    """Leave `%2F` as it is: part of a segment (RFC 3986 §2.2), so of a malformed job id and of no other path.

    A WSGI server decodes it, and then `jobs/x%2Fcontrol` would pass for `jobs/x/control`. Below a mount
    (SCRIPT_NAME) the mount is not part of the path; a path that something before us has rewritten is left alone.
    """
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if "%2f" not in target.lower():
        return
    path = target.partition("?")[0] if target.startswith("/") else urlsplit(target).path
    decoded, info = unquote_to_bytes(path).decode("latin-1"), environ["PATH_INFO"]
    mount = (
        "" if decoded == info else environ.get("SCRIPT_NAME", "")
    )  # which a proxy may have taken out of the target
    if decoded == mount + info:
        kept = path.replace("%2F", "%252F").replace("%2f", "%252f")
        environ["PATH_INFO"] = unquote_to_bytes(kept).decode("latin-1").removeprefix(mount)
