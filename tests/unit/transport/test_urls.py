"""Store URLs: the accepted schemes, and what an error says and does not say."""

import pytest

from batchstatus import connect
from batchstatus.model.errors import InvalidValue

ORG = "org_acme"


@pytest.mark.parametrize("options", ["decode_responses=true", "decode_responses=false", "retry_on_timeout=true"])
def test_options_of_redis_py_in_the_url_break_no_reader(redis_url, options):
    store = connect(f"{redis_url}?{options}", timeout_s=30)
    job = store.create(ORG, "transaction_batch", metadata={"fileName": "año.csv"})
    with store.run(ORG, job.job_id) as run:
        run.succeeded(2)
        run.failed({"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "why"})
    outcome = store.outcome(ORG, job.job_id)
    assert (outcome.job.status, outcome.job.succeeded, len(outcome.failures)) == ("completed", 2, 1)
    assert outcome.job.metadata == {"fileName": "año.csv"}
    key, record = store.api_keys.create(ORG, ["a:b"])
    assert store.api_keys.verify(key) == record
    store.close()


def test_valkey_urls_work_as_redis_urls_do(redis_url):
    store = connect(redis_url.replace("redis://", "valkey://"), timeout_s=30)
    store.ping()
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:6379", "http://h", "redis", "redis:h", None, 5, b"redis://h"),
        *("redis://h:port", "redis://h:99999", "redis://[::1", "redis://h?socket_timeout=abc"),
        *("redis://h?nonsense=1", "redis://h?ssl_ca_certs=/x"),
    ],
    ids=repr,
)
def test_a_malformed_url_is_refused_before_connecting(url):
    with pytest.raises(InvalidValue, match=r"^the store's URL "):
        connect(url)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://:s3cret", "redis://u:s3cret", "http://u:s3cret@h", "redis://u:s3cret@h:port"),
        *("redis://u:[s3cret]@h", "redis://u:s3cret/7@h", "redis://u:s3cret℀@h", "redis://u:s3cret@h/0?db=x"),
        *("redis+sentinel://u:s3cret", "redis+sentinel://:s3cret/mymaster", "redis+sentinel://u:s3cret@h"),
        *("redis+cluster://u:s3cret", "redis+cluster://h,u:s3cret", "redis+cluster://u:s3cret@h:port"),
    ],
)
def test_the_error_for_a_url_does_not_show_its_password(url):
    with pytest.raises(InvalidValue) as refused:
        connect(url)
    assert "s3cret" not in str(refused.value)
