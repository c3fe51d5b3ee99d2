"""`/ui/`: the pages, as they lie in `batchstatus/ui/`. They ask the API for all that they show.

Links are relative, redirects too, so that the pages work below any prefix, whether or not the service knows it.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from batchstatus.web.call import Call
from batchstatus.web.conditional import has_tag
from batchstatus.web.responses import Headers, Response, whole_response
from batchstatus.web.routing import Route

FOLDER = Path(__file__).parents[2] / "ui"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = [
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


class _File(NamedTuple):
    body: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> "_File":
        """Return a file of the folder."""
        body = path.read_bytes()
        return cls(body, _TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:20])


def _send(file: _File, call: Call, **_: str) -> Response:
    """Answer with the file; 304 to a browser that has it."""
    headers: Headers = [*_HEADERS, ("ETag", f'"{file.tag}"')]
    if has_tag(call.request, file.tag):
        return Response(304, headers)
    return whole_response(file.body, file.media_type, headers=headers)


def _redirect(to: str, _: Call, **values: str) -> Response:
    """Send the browser to the page's one address. 302: a prefix may move."""
    location = to.format(**values)
    return Response(302, [("Location", location), ("Content-Length", "0"), ("Cache-Control", "no-cache")])


def _routes() -> Iterator[Route]:
    yield Route("/ui", "ui", partial(_redirect, "ui/"))
    yield Route("/ui/jobs", "ui_jobs", partial(_redirect, "./"))
    yield Route("/ui/jobs/", "ui_jobs_slash", partial(_redirect, "../"))
    yield Route("/ui/jobs/<job_id>/", "ui_job_slash", partial(_redirect, "../{job_id}"))
    yield Route("/ui/", "ui_history", partial(_send, _File.read(FOLDER / "history.html")))
    yield Route("/ui/jobs/<job_id>", "ui_job", partial(_send, _File.read(FOLDER / "job.html")))
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _TYPES and path.suffix != ".html":
            yield Route(f"/ui/{path.name}", f"ui_{path.stem}_{path.suffix[1:]}", partial(_send, _File.read(path)))


ROUTES = tuple(_routes())
