"""A host's application: pages of its own, and the service under /imports. Its callers name themselves in a cookie.

`app` is the application, `mounted` has the service as a WSGI application below /mounted.
"""

import os

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import batchstatus
from batchstatus.web import Caller, blueprint, create_app


def by_cookie(request: flask.Request) -> Caller | None:
    org = request.cookies.get("org")
    return Caller(org, ["transactions:create", "entities:bulk_import"]) if org else None


store = batchstatus.connect(os.environ["PORTAL_REDIS_URL"], timeout_s=30)
app = flask.Flask("portal")
app.register_error_handler(404, lambda _: ("the host's own page", 404))
app.add_url_rule("/", "home", lambda: "home")
app.register_blueprint(blueprint(store, authorize=by_cookie), url_prefix="/imports")
mounted = DispatcherMiddleware(app, {"/mounted": create_app(store)})
