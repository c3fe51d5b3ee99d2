"""Each of gunicorn's settings that our worker does not support is refused with one line that says why."""

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.errors import HaltServer

from batchstatus.web.server.caller import MAX_HEAD_BYTES
from batchstatus.web.server.gevent_worker import Worker
from batchstatus.web.server.unsupported import unsupported

REFUSED: dict[str, dict[str, Any]] = {
    "certfile and keyfile": {"certfile": "a.crt", "keyfile": "a.key"},
    "http_protocols": {"http_protocols": "h2,h1"},
    "http2_cleartext": {"http2_cleartext": "upgrade"},
    "preload_app": {"preload_app": True},
    "limit_request_line": {"limit_request_line": 0},
    "limit_request_field_size": {"limit_request_field_size": MAX_HEAD_BYTES + 1},
}
ALLOWED: list[dict[str, Any]] = [
    {},
    {"limit_request_line": 8_190},
    {"limit_request_field_size": MAX_HEAD_BYTES},
    {"limit_request_field_size": 0},  # gunicorn then takes its default
    {"http_protocols": "h1"},
    {"reuse_port": True, "workers": 4, "max_requests": 10, "keepalive": 0},
]


def config(settings: dict[str, Any]) -> Config:
    """gunicorn's configuration with these settings."""
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return cfg


@pytest.mark.parametrize("named", REFUSED)
def test_a_setting_that_is_not_supported_is_refused_by_its_name_in_one_line(named: str) -> None:
    cfg = config(REFUSED[named])
    reason = unsupported(cfg)
    assert reason is not None
    assert reason.startswith(f"unsupported setting {named}: ")
    assert "\n" not in reason
    with pytest.raises(HaltServer, match=f"unsupported setting {named}: "):
        Worker(1, 1, [], None, 30, cfg, None)


@pytest.mark.parametrize("settings", ALLOWED, ids=repr)
def test_other_settings_are_not_refused(settings: dict[str, Any]) -> None:
    assert unsupported(config(settings)) is None
