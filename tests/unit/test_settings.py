"""Settings: every variable of the environment, and errors of one line that name the variable."""

from dataclasses import FrozenInstanceError

import pytest

from batchstatus.model.errors import InvalidValue
from batchstatus.settings import Settings, StoreSettings

URL = "redis://127.0.0.1:6379/0"
VARIABLES = ["BIND", "WORKERS", "LEASE_S", "GRACE_S", "RETENTION_DAYS", "STORE_TIMEOUT_MS", "PREFIX", "LOG_LEVEL"]
VARIABLES += ["MIN_REPLICAS", "KEEP_ALIVE_S"]
TEXTS = ["TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE", "SENTINEL_USERNAME", "SENTINEL_PASSWORD"]


def from_env(**variables: str) -> Settings:
    """Returns the settings for these BATCHSTATUS_* variables and a URL."""
    environ = {"REDIS_URL": URL, **variables}
    return Settings.from_env({f"BATCHSTATUS_{name}": value for name, value in environ.items()})


def test_the_url_alone_is_enough():
    assert from_env() == Settings(redis_url=URL, bind="127.0.0.1:8000", workers=2, log_level="info")
    assert from_env().store == StoreSettings()


def test_the_defaults_are_those_of_the_contract():
    store = from_env().store
    assert (store.timeout_s, store.retention_s, store.max_rows) == (1.0, 30 * 86_400, 1_000_000)
    assert (store.lease_s, store.grace_s, store.prefix) == (30.0, 3.0, "batchstatus")


@pytest.mark.parametrize("environ", [{}, {"BATCHSTATUS_REDIS_URL": ""}, {"BATCHSTATUS_REDIS_URL": " "}])
def test_the_redis_url_is_required(environ):
    with pytest.raises(InvalidValue, match=r"^BATCHSTATUS_REDIS_URL is not set"):
        Settings.from_env(environ)


def test_the_environment_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", URL)
    monkeypatch.setenv("BATCHSTATUS_WORKERS", "5")
    assert Settings.from_env().workers == 5


@pytest.mark.parametrize(
    ("variable", "value", "service", "store"),
    [
        ("BIND", "0.0.0.0:80", {"bind": "0.0.0.0:80"}, {}),
        ("WORKERS", "7", {"workers": 7}, {}),
        ("KEEP_ALIVE_S", "75", {"keep_alive_s": 75}, {}),
        ("LOG_LEVEL", "DEBUG", {"log_level": "DEBUG"}, {}),
        ("LEASE_S", "2.5", {}, {"lease_s": 2.5}),
        ("GRACE_S", "0", {}, {"grace_s": 0}),
        ("RETENTION_DAYS", "0.5", {}, {"retention_s": 43_200}),
        ("STORE_TIMEOUT_MS", "250", {}, {"timeout_s": 0.25}),
        ("PREFIX", "tenant-1", {}, {"prefix": "tenant-1"}),
        ("MIN_REPLICAS", "2", {}, {"min_replicas": 2}),
        ("TLS_CA_FILE", "/ca.pem", {}, {"tls_ca_file": "/ca.pem"}),
        ("TLS_CERT_FILE", "/me.pem", {}, {"tls_cert_file": "/me.pem"}),
        ("SENTINEL_USERNAME", "me", {}, {"sentinel_username": "me"}),
        ("SENTINEL_PASSWORD", "s3cret", {}, {"sentinel_password": "s3cret"}),
    ],
)
def test_each_variable_sets_its_field_only(variable, value, service, store):
    wanted = Settings(redis_url=URL, **service, store=StoreSettings(**store))
    assert from_env(**{variable: value}) == wanted != from_env()


def test_several_variables_can_be_combined():
    settings = from_env(LEASE_S="60", RETENTION_DAYS="1", PREFIX="p", WORKERS="3", BIND="[::1]:8")
    assert (settings.workers, settings.bind) == (3, "[::1]:8")
    assert settings.store == StoreSettings(lease_s=60.0, retention_s=86_400.0, prefix="p")


def test_a_long_lease_is_accepted_with_a_longer_retention():
    assert from_env(LEASE_S="4000000", RETENTION_DAYS="90").store.lease_s == 4_000_000


def test_a_short_retention_is_accepted_with_a_shorter_lease():
    store = from_env(LEASE_S="5", GRACE_S="1", RETENTION_DAYS="0.0002").store
    assert (store.lease_s, store.retention_s) == (5, pytest.approx(17.28))


NO_SECONDS = ["", "abc", "-1", "nan", "inf", "1s", "1,5", "1e300", "1e400"]
BAD = {
    "BIND": [
        *("", "8000", ":8000", "localhost", "localhost:", "localhost:65536", "localhost:-1", "a b:80"),
        *("::1:80", "[::1]", "localhost:80x", "localhost:080000"),
    ],
    "WORKERS": ["", "0", "-1", "two", "2.0", "1e1", "9" * 400],
    "KEEP_ALIVE_S": ["", "0", "-1", "1.5", "15s", "3601", "9" * 400],
    "LOG_LEVEL": ["", "loud", "info ", "10"],
    "LEASE_S": [*NO_SECONDS, "0", "2592000"],
    "GRACE_S": [*NO_SECONDS, "2592000"],
    "RETENTION_DAYS": [*NO_SECONDS, "0", "0.0001", "1e12"],
    "STORE_TIMEOUT_MS": ["", "abc", "0", "-1", "1.5", "nan", "3600001", "1000000000000000", "9" * 400],
    "MIN_REPLICAS": ["", "-1", "1.5", "all"],
    "PREFIX": ["", "a{b", "a b", "x" * 65],
    **{name: [""] for name in TEXTS},
}


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable, values in BAD.items() for value in values]
)
def test_a_bad_value_is_refused_in_one_line_that_begins_with_the_variable(variable, value):
    with pytest.raises(InvalidValue, match=rf"^BATCHSTATUS_{variable}='") as refused:
        from_env(**{variable: value})
    assert "\n" not in str(refused.value)
    assert value in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [("WORKERS", "two", "not a whole number"), ("STORE_TIMEOUT_MS", "1.5", "not a whole number"),
     ("LEASE_S", "1s", "not a number")],
)  # fmt: skip
def test_the_error_says_that_a_value_is_not_a_number(variable, value, wrong):
    with pytest.raises(InvalidValue, match=f"^BATCHSTATUS_{variable}='{value}': {wrong}$"):
        from_env(**{variable: value})


@pytest.mark.parametrize(("lease_s", "grace_s", "blamed"), [("3e6", "1", "LEASE_S"), ("1", "3e6", "GRACE_S")])
def test_the_error_blames_a_lease_or_grace_beyond_the_default_retention(lease_s, grace_s, blamed):
    with pytest.raises(InvalidValue, match=rf"^BATCHSTATUS_{blamed}='3e6': retention_s .* is not longer than"):
        from_env(LEASE_S=lease_s, GRACE_S=grace_s)


def test_the_error_blames_a_given_retention_shorter_than_the_lease():
    with pytest.raises(InvalidValue, match=r"^BATCHSTATUS_RETENTION_DAYS='1': "):
        from_env(LEASE_S="86400", RETENTION_DAYS="1")


def test_every_variable_is_tested_with_bad_values():
    assert sorted(BAD) == sorted(VARIABLES + TEXTS)


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:80", ("::1", 80)),
        ("a-host.b:0", ("a-host.b", 0)),
    ],
)
def test_the_address_is_host_and_port(bind, address):
    assert Settings(redis_url=URL, bind=bind).address == address


def test_a_key_file_needs_its_certificate():
    store = from_env(TLS_CERT_FILE="/me.pem", TLS_KEY_FILE="/me.key").store
    assert (store.tls_cert_file, store.tls_key_file) == ("/me.pem", "/me.key")
    with pytest.raises(InvalidValue, match=r"^BATCHSTATUS_TLS_KEY_FILE='/me.key': .* needs a tls_cert_file$"):
        from_env(TLS_KEY_FILE="/me.key")


# In Python


@pytest.mark.parametrize("name", ["lease_s", "grace_s", "retention_s", "timeout_s"])
@pytest.mark.parametrize("bad", [None, "1", True, -1, float("nan"), float("inf"), 1e300, 10**400], ids=str)
def test_an_invalid_duration_is_refused_and_named(name, bad):
    with pytest.raises(InvalidValue, match=rf"^{name} "):
        StoreSettings(**{name: bad})


def test_durations_are_limited_to_a_century():
    century_s = 36_525 * 86_400
    assert StoreSettings(lease_s=century_s - 10, retention_s=century_s).retention_s == century_s
    with pytest.raises(InvalidValue, match=r"^retention_s 3155760001 is not .* seconds up to 3155760000$"):
        StoreSettings(retention_s=century_s + 1)


def test_the_store_timeout_is_limited_to_an_hour():
    assert StoreSettings(timeout_s=3_600).timeout_s == 3_600
    with pytest.raises(InvalidValue, match=r"^timeout_s 3601 is not a number of seconds up to 3600$"):
        StoreSettings(timeout_s=3_601)


@pytest.mark.parametrize("name", ["lease_s", "retention_s", "timeout_s"])
def test_only_the_grace_may_be_zero(name):
    assert StoreSettings(grace_s=0).grace_ms == 0
    with pytest.raises(InvalidValue, match=rf"^{name} 0 is too short$"):
        StoreSettings(**{name: 0})


@pytest.mark.parametrize("name", ["max_connections", "max_rows"])
@pytest.mark.parametrize("bad", [None, "1", 0, -1, 1.5], ids=repr)
def test_an_invalid_limit_is_refused_and_named(name, bad):
    with pytest.raises(InvalidValue, match=rf"^{name} "):
        StoreSettings(**{name: bad})


@pytest.mark.parametrize("bad", ["", "a{b", None, 5], ids=repr)
def test_a_prefix_that_could_forge_a_key_is_refused(bad):
    with pytest.raises(InvalidValue, match=r"^prefix "):
        StoreSettings(prefix=bad)


def test_the_retention_must_exceed_lease_plus_grace():
    assert StoreSettings(lease_s=10, grace_s=2, retention_s=12.001)
    with pytest.raises(InvalidValue, match=r"^retention_s 12 is not longer than lease_s plus grace_s$"):
        StoreSettings(lease_s=10, grace_s=2, retention_s=12)


def test_durations_become_whole_milliseconds_and_a_lease_is_never_zero():
    settings = StoreSettings(lease_s=0.0001, grace_s=1.2345, retention_s=86_400)
    assert (settings.lease_ms, settings.grace_ms, settings.retention_ms) == (1, 1_234, 86_400_000)


@pytest.mark.parametrize("settings", [StoreSettings(), Settings(redis_url=URL)], ids=["store", "service"])
def test_settings_are_immutable(settings):
    with pytest.raises(FrozenInstanceError):
        settings.prefix = settings.bind = "other"


def test_a_password_is_not_shown():
    assert "s3cret" not in repr(StoreSettings(sentinel_password="s3cret"))
