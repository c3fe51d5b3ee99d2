"""Examines a store: every check, each on its own, so that one that the store refuses hides no other."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product

from batchstatus.doctor.findings import Finding, Level, ok, problem, unknown
from batchstatus.doctor.rights import CHECK as RIGHTS
from batchstatus.doctor.rights import examine_rights
from batchstatus.doctor.servers import Patient, Server, opened
from batchstatus.doctor.state import (
    examine_clock,
    examine_latency,
    examine_memory,
    examine_persistence,
    examine_replicas,
    examine_version,
)
from batchstatus.doctor.surroundings import examine_encryption, examine_topology
from batchstatus.model.errors import StoreRefused, StoreUnavailable
from batchstatus.settings import StoreSettings

REACHED = "connection"

Found = Finding | Iterable[Finding]
Check = Callable[[Server, StoreSettings], Found]
AT_START: dict[str, Callable[[Server, StoreSettings], Finding]] = {
    "version": examine_version,
    "memory": examine_memory,
}
CHECKS: dict[str, Check] = {
    "TLS": examine_encryption,
    **AT_START,
    "persistence": examine_persistence,
    "replicas": examine_replicas,
    RIGHTS: examine_rights,
    "clock": examine_clock,
    "latency": examine_latency,
}

_log = logging.getLogger(__name__)


def examine(url: str, settings: StoreSettings) -> list[Finding]:
    """Examine the store at this URL. Nothing is written.

    The first finding says whether the store can be reached; a problem there is the only finding. Raises
    InvalidValue, naming what is wrong with the URL or the settings.

        for finding in examine("redis://127.0.0.1:6379/0", StoreSettings(min_replicas=1)):
            print(finding.level, finding.message)
    """
    try:
        with opened(url, settings) as patient:
            reached, away = _reached(patient)
            topology = _findings("topology", partial(examine_topology, patient))
            return [
                ok(REACHED, "the store answers"),
                *away,
                *topology,
                *_of_servers(patient._replace(servers=reached), CHECKS),
            ]
    except StoreUnavailable as error:
        return [problem(REACHED, str(error), "look at the URL, the network, and whether the server runs")]


def log_warnings(url: str, settings: StoreSettings) -> None:
    """Log what a service should say when it starts: a server that is too old, a policy that loses keys.

    Nothing is logged where the store is away, or does not let us look. Never raises, and takes no longer than the
    store's timeout for each server that it connects to.
    """
    found: list[Finding] = []
    try:
        with opened(url, settings) as patient:
            for check, server in product(AT_START.values(), patient.servers):
                with suppress(StoreRefused):
                    found.append(check(server, settings))
    except Exception as error:  # whatever it is, the start goes on, and the first request will tell
        _log.debug("the store cannot be examined: %s", error)
    # Of several servers the same may be to be said.
    for finding in dict.fromkeys(found):
        if finding.level is Level.WARNING:
            _log.warning("the store's %s: %s; %s", finding.check, finding.message, finding.remedy)


def _reached(patient: Patient) -> tuple[list[Server], list[Finding]]:
    """Returns the servers that answer, and findings about the others. StoreUnavailable if none answers."""
    reached, away, trouble = [], [], StoreUnavailable("the store has no server")
    for server in patient.servers:
        try:
            server.ask("PING")
            reached.append(server)
        except StoreUnavailable as error:
            trouble = error
            away.append(problem(REACHED, f"{server.name}: {error}", "start it; its jobs cannot be read meanwhile"))
    if not reached:
        raise trouble
    return reached, away


def _of_servers(patient: Patient, checks: Mapping[str, Check]) -> list[Finding]:
    """Returns the findings about all servers, check by check; what is the same of all, once and unnamed."""
    found = []
    for name, check in checks.items():
        by_server = {
            each.name: _findings(name, partial(check, each, patient.settings)) for each in patient.servers
        }
        first = next(iter(by_server.values()))
        if all(each == first for each in by_server.values()):
            found += first
            continue
        for server, findings in by_server.items():
            found += [replace(each, message=f"{server}: {each.message}") for each in findings]
    return found


def _findings(name: str, check: Callable[[], Found]) -> list[Finding]:
    try:
        found = check()
        return [found] if isinstance(found, Finding) else [*found]
    except StoreRefused as error:
        return [unknown(name, f"{error}", "let the user run this command, or look as another user")]
    except StoreUnavailable as error:
        return [problem(name, f"{error}", "look at the network and the server's load")]
