"""gunicorn's settings that our worker class does not support."""

from typing import Any

from batchstatus.web.server.caller import MAX_HEAD_BYTES


def unsupported(cfg: Any) -> str | None:
    """Return a line that names a setting that the worker refuses, and says why; None if there is none."""
    refusals = {
        "certfile and keyfile: the worker does not speak TLS; end TLS at the load balancer": cfg.is_ssl,
        "http_protocols: the worker speaks HTTP/1 only": set(cfg.http_protocols) != {"h1"},
        "http2_cleartext: the worker speaks HTTP/1 only": cfg.http2_cleartext != "off",
        "preload_app: the worker patches the standard library for gevent after the fork, "
        "so the application must be loaded after it": cfg.preload_app,
        "limit_request_line: 0 means no limit, but the worker reads at most "
        f"{MAX_HEAD_BYTES} bytes of a request line and headers": cfg.limit_request_line == 0,
        f"limit_request_field_size: the worker reads at most {MAX_HEAD_BYTES} bytes "
        "of a request line and headers": cfg.limit_request_field_size > MAX_HEAD_BYTES,
    }
    return next((f"unsupported setting {reason}" for reason, refused in refusals.items() if refused), None)
