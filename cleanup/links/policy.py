"""Reading a policy file: one frozen Policy, or one error that lists everything wrong with it."""

import hashlib
import json
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from cleanup.document import Section, read_document
from cleanup.errors import PolicyInvalid
from cleanup.links.policy_checks import check_results
from cleanup.links.policy_codes import read_live_cues, read_share_codes
from cleanup.links.policy_platforms import PlatformReader
from cleanup.links.rules import Policy, Reading, Source

__all__ = ["Policy", "Reading", "Source", "load_policy"]


def load_policy(path: Path) -> Policy:
    """Read and check a policy file; PolicyInvalid lists every problem with file, table and key."""
    document, problems = read_document(path, PolicyInvalid)
    policy = _read(document)
    problems.raise_if_any()
    for place, what in check_results(policy):
        problems.add(place, what)
    problems.raise_if_any()
    return policy


def _read(document: Section) -> Policy:
    sources = _read_sources(document.section("sources"))
    reader = PlatformReader(sources)
    reader.read_platforms(document.section("platforms"))
    reader.read_wrappers(document.section("wrappers"))
    reader.read_counted(document.section("count"))
    reader.read_tokens(document)
    live_cues = read_live_cues(document.section("live_cues"))
    share_codes = read_share_codes(document.section("share_codes"), reader)
    policy = Policy(
        name=document.text("name"),
        version=document.text("version"),
        cutover=_aware(document),
        placeholder=document.text("placeholder"),
        exempt_rows_are_kept=document.boolean("exempt_rows_are_kept", True),
        digest=b"",
        sources=tuple(sources.values()),
        readings=_read_readings(document),
        rules=tuple(reader.rules),
        hosts=tuple(reader.hosts),
        schemes=tuple(reader.schemes),
        tokens=tuple(reader.tokens),
        share_codes=share_codes,
        live_cues=live_cues,
    )
    document.close()
    return replace(policy, digest=_digest(policy))


def _read_sources(table: Section) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for name in table.keys():  # noqa: SIM118 - a Section is no mapping
        entry = table.section(name)
        sources[name] = Source(name, entry.text("text"), entry.boolean("confirmed"))
        entry.close()
    return sources


def _aware(document: Section) -> datetime:
    cutover = document.instant("cutover")
    if cutover.tzinfo is None:
        document.problem("cutover", "has no offset from UTC; write it, as in 2021-08-02T00:00:00+08:00")
        return cutover.replace(tzinfo=UTC)
    return cutover


def _read_readings(document: Section) -> tuple[Reading, ...]:
    readings = []
    for entry in document.sections("readings"):
        reading = Reading(entry.text("text"), entry.text("key"))
        if not document.holds(reading.key):
            entry.problem("key", f"names {reading.key}, which this policy does not have")
        readings.append(reading)
        entry.close()
    return tuple(readings)


def _digest(policy: Policy) -> bytes:
    # Names, sources and readings explain results and alter none; order of the file alters none either.
    silent = {"name", "version", "digest", "sources", "readings", "source", "rules", "key"}
    canonical = json.dumps(_canonical(policy, silent), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).digest()


def _canonical(value: object, silent: set[str]) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name not in silent]
        return {name: _canonical(getattr(value, name), silent) for name in names}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, range) or (isinstance(value, tuple) and all(isinstance(item, int) for item in value)):
        return list(value)
    if isinstance(value, tuple):
        return sorted((_canonical(item, silent) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
