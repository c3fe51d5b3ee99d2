"""Writes `batchstatus/protocol/protocol.json`: the protocol for programs, from the scripts' heads and the code.

`python -m tests.support.protocol_json` writes it; a test holds the file against the code.
"""

import json
import re
from pathlib import Path
from typing import Any

from batchstatus.jobs.index import DANGLING_MS
from batchstatus.model import rows, values
from batchstatus.model.errors import CODE
from batchstatus.model.job import MAX_COUNT, MAX_PARTS, TRANSITIONS, Status
from batchstatus.model.keys import BUCKETS, ID, ORG, Keys
from batchstatus.model.kinds import PUBLISHED
from batchstatus.protocol import verbs
from tests.support.lua import SOURCES, Source

FILE = Path(verbs.__file__).with_name("protocol.json")

CONTENTS = [
    ("transaction_batch", None, "{}", 0),
    ("transaction_batch", 3, "{}", 60_000),
    ("transaction_batch", 3, '{"fileName":"november.csv","b":1,"a":{"d":null,"c":[true,false]}}', 60_000),
    ("entity_automatic", 9_007_199_254_740_991, r'{"":"","quote":"\"","back":"\\","slash":"/"}', 0),
    ("entity_automatic", 0, r'{"controls":"\u0000\b\t\n\u000b\f\r\u001f\u007f\u0080"}', 0),
    (
        "user_event_batch",
        None,
        '{"\u00e9":"K\u00f6ln \u2013 \u6771\u4eac \U0001f600","\uff5a":1,"\U00010000":2}',
        86_400_000,
    ),
    ("user_event_batch", None, '{"a":1,"a":2}', 0),
    ("user_event_batch", None, '{"n":[0,-1,9007199254740993,123456789012345678901234567890]}', 0),
    ("user_event_batch", None, '{"n":[1.0,-0.0,0.1,1e-7,0.0001,1e15,1e16,1.5e300,2.5e-5]}', 0),
]
"""What jobs are created with: kind, total, metadata as JSON, takeover window (ms)."""

MEMBERS = ["org_acme:worked-example", "org_acme:0199f3a1", "acme.com:A_-", "a@b.c:0"]


def described() -> dict[str, Any]:
    """Returns the protocol."""
    return {
        "about": "The protocol of batchstatus for programs; docs/redis-protocol.md tells it to people.",
        "patterns": {
            "org": ORG.pattern,
            "jobId": ID.pattern,
            "prefix": "[A-Za-z0-9_.:-]{1,64}",
            "code": CODE.pattern,
        },
        "keys": _keys(),
        "buckets": {"many": BUCKETS, "crc32": "of <org>:<jobId>, modulo the number", "vectors": _buckets()},
        "statuses": {status: sorted(TRANSITIONS[status]) for status in Status},
        "kinds": {kind.name: {"names": [*kind.row], "outcomes": kind.skips} for kind in PUBLISHED},
        "scripts": {verb: _script(source) for verb, source in sorted(SOURCES.items())},
        "limits": {
            "numberMost": MAX_COUNT,
            "partsMost": MAX_PARTS,
            "textCharacters": values.MAX_TEXT,
            "rowBytes": rows.MAX_ROW_BYTES,
            "checkpointBytes": values.MAX_CHECKPOINT_BYTES,
            "jsonBytes": values.MAX_JSON_BYTES,
            "jsonLevels": values.MAX_JSON_DEPTH,
            "freshMs": verbs.FRESH_MS,
            "firstLookMs": DANGLING_MS,
        },
        "digests": [_digest(*content) for content in CONTENTS],
    }


def text() -> str:
    """Returns the protocol as it stands in the file."""
    return json.dumps(described(), indent=1, ensure_ascii=True) + "\n"


def _keys() -> dict[str, str]:
    keys = Keys("PREFIX")
    parts = keys.parts("ORG", "JOB")
    names = {
        **keys.job("ORG", "JOB")._asdict(),
        "leasesOfParts": parts.leases,
        "awaitingParts": parts.awaiting,
        **{f"{name}OfPart": key.replace(":0", ":<part>") for name, key in parts.part(0)._asdict().items()},
        "index": keys.index("ORG", "KIND", Status.QUEUED).replace("queued", "<status>"),
        "leases": keys.leases(0).replace("{0}", "{<bucket>}"),
        "expiries": keys.expiries(0).replace("{0}", "{<bucket>}"),
        "leasesTurn": keys.turns()[0],
        "expiriesTurn": keys.turns()[1],
    }
    words = {"PREFIX": "<prefix>", "ORG": "<org>", "JOB": "<jobId>", "KIND": "<kind>"}
    return {name: re.sub("|".join(words), lambda word: words[word[0]], key) for name, key in names.items()}


def _buckets() -> list[dict[str, Any]]:
    entries = [Keys("batchstatus").lease_entry(*each.split(":")) for each in MEMBERS]
    return [{"member": each.member, "bucket": int(re.sub(r"\D", "", each.key))} for each in entries]


def _script(source: Source) -> dict[str, Any]:
    header = source.header
    purpose = header.title.partition(": ")[2]
    answers = re.findall(r"^   \{'(\w+)'[^}]*\} *(.*)$", "\n".join(source.head), re.MULTILINE)
    return {
        "purpose": purpose[0].upper() + purpose[1:],
        "keys": [{"name": name, "type": meaning} for name, meaning in header.keys],
        "anyNumberOfKeys": header.takes_any_number_of_keys,
        "arguments": [{"name": name, "meaning": meaning} for name, meaning in header.argv],
        "answers": {word: {"values": header.returns[word], "meaning": meaning} for word, meaning in answers},
    }


def _digest(kind: str, total: int | None, metadata: str, takeover_ms: int) -> dict[str, Any]:
    content = [kind, total, json.loads(metadata), takeover_ms]
    return {
        "kind": kind,
        "totalItems": total,
        "metadata": metadata,
        "takeoverMs": takeover_ms,
        "written": json.dumps(content, sort_keys=True, separators=(",", ":")),
        "digest": values.digest(*content),
    }


if __name__ == "__main__":
    FILE.write_text(text())
