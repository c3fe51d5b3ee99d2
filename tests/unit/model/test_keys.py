"""The keys in Redis: their names, their slots, and that no id can forge one."""

import re

import pytest
from redis.crc import key_slot

from batchstatus.model import keys
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import Kind, Status
from batchstatus.model.keys import Keys, checked_job, checked_org

GOOD_IDS = ["a", "Z", "0", "_", "-", "org_acme", "0199-abc", "x" * 64]
BAD_IDS = [
    *("", "x" * 65, "a:b", "a{b", "a}b", "a b", "a/b", "a*", "a\n", "\na", "a\0", "é", "\u0661"),
    *(None, 5, b"a"),
]
GOOD_ORGS = ["acme.com", "user@acme.com", ".hidden", "a..b", "@", "x" * 60 + ".com"]
DOTS = [".", "..", "." * 64]


def test_a_job_has_three_keys():
    assert Keys("pre").job("org", "id") == ("pre:{org:id}", "pre:{org:id}:failures", "pre:{org:id}:skips")


def test_an_api_key_has_a_record_and_an_organization_a_list():
    assert Keys("pre").api_key("abc") == "pre:apikey:abc"
    assert Keys("pre").api_keys("org") == "pre:apikeys:org"


def test_a_ticket_has_a_record_and_an_organization_a_list_of_them():
    assert Keys("pre").ticket("abc") == "pre:ticket:abc"
    assert Keys("pre").tickets("org") == "pre:tickets:org"


def test_the_docstring_lists_exactly_these_keys():
    named = Keys("prefix")
    job = named.job("org", "jobId")
    parts = named.parts("org", "jobId")
    listed = re.findall(r"^    (<prefix>\S+)\s+(hash|list|zset)  ", keys.__doc__ or "", re.MULTILINE)
    spelt = {re.sub(r"[<>]", "", key): type_ for key, type_ in listed}
    assert spelt == {
        job.job: "hash",
        job.failures: "list",
        job.skips: "list",
        parts.leases: "zset",
        parts.awaiting: "zset",
        f"{parts.job}:part:n": "hash",
        f"{parts.job}:part:n:failures": "list",
        f"{parts.job}:part:n:skips": "list",
        "prefix:index:{org}:kind:status": "zset",
        "prefix:leases:{bucket}": "zset",
        "prefix:expiries:{bucket}": "zset",
        **dict.fromkeys(named.turns(), "hash"),
        named.measured(): "hash",
        named.api_key("sha256"): "hash",
        named.api_keys("org"): "hash",
        named.ticket("sha256"): "hash",
        named.tickets("org"): "zset",
        "prefix:notices:{bucket}": "zset",
        named.notices_turn(): "hash",
        named.notice("org", "jobId", "endpoint"): "hash",
        named.webhooks("org"): "hash",
        named.deliveries("org"): "zset",
    }


def test_a_part_has_the_keys_of_a_job_of_its_own():
    keys_of_parts = Keys("pre").parts("org", "id")
    part = "pre:{org:id}:part:12"
    assert keys_of_parts.part(12) == (part, f"{part}:failures", f"{part}:skips")
    assert keys_of_parts.all(12)[-3:] == [*keys_of_parts.part(12)]
    assert keys_of_parts.all(2)[0] == "pre:{org:id}:part:1"


def test_the_keys_of_a_job_share_one_slot():
    assert len({key_slot(key.encode()) for key in Keys("pre").job("org", "id")}) == 1
    parts = Keys("pre").parts("org", "id")
    assert len({key_slot(key.encode()) for key in (*parts, *parts.all(20))}) == 1


def test_the_jobs_of_an_organization_do_not_share_one_slot():
    assert len({key_slot(Keys("pre").job("org", f"id{n}").job.encode()) for n in range(50)}) > 25


@pytest.mark.parametrize("good", GOOD_IDS)
def test_an_id_of_letters_digits_underscores_and_hyphens_is_accepted(good):
    assert checked_org(good) == checked_job(good) == good
    assert Keys("pre").job(good, good).job == f"pre:{{{good}:{good}}}"


@pytest.mark.parametrize("bad", BAD_IDS, ids=repr)
def test_any_other_id_is_refused_naming_the_parameter(bad):
    made = Keys("pre")
    for call, name in [
        (lambda: made.job(bad, "id"), "org"),
        (lambda: made.job("org", bad), "job_id"),
        (lambda: made.api_keys(bad), "org"),
    ]:
        with pytest.raises(InvalidValue, match=rf"^{name} "):
            call()


@pytest.mark.parametrize("org", GOOD_ORGS)
def test_an_organization_may_be_a_domain_or_an_address_and_a_job_may_not(org):
    made = Keys("pre")
    assert made.job(org, "id").job == f"pre:{{{org}:id}}"
    assert made.lease_entry(org, "id").job == (org, "id")
    with pytest.raises(InvalidValue, match=r"^job_id "):
        made.job("org", org)


@pytest.mark.parametrize("org", GOOD_ORGS)
def test_all_of_an_organizations_index_is_in_the_slot_of_its_name(org):
    keys = [Keys("pre").index(org, kind, status) for kind in Kind for status in Status]
    assert {key_slot(key.encode()) for key in keys} == {key_slot(org.encode())}


@pytest.mark.parametrize("org", DOTS)
def test_dots_alone_are_no_organization(org):
    with pytest.raises(InvalidValue, match=r"^org "):
        Keys("pre").api_keys(org)


def test_the_error_quotes_a_long_bad_id_only_in_part():
    with pytest.raises(InvalidValue) as refused:
        checked_org("x" * 100_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("good", ["batchstatus", "a.b", "tenant-1:prod", "x" * 64])
def test_a_prefix_may_contain_dots_and_colons(good):
    assert Keys(good).api_key("abc") == f"{good}:apikey:abc"


@pytest.mark.parametrize("bad", ["", "x" * 65, "a{b", "a}", "a b", "a\n", "é", "*", "a/b"], ids=repr)
def test_any_other_prefix_is_refused(bad):
    with pytest.raises(InvalidValue, match=r"^prefix "):
        Keys(bad)
