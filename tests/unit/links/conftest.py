"""The policies, finders and labelled cases that the tests of the links floor share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cleanup.links.finder import Finder
from cleanup.links.policy import Policy, load_policy
from cleanup.links.prefilter import Prefilter
from cleanup.vocabulary import ColumnFormat

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests" / "cases" / "links.jsonl"
POLICY = ROOT / "config" / "policy-xiaohongshu-2021.toml"
OTHER_POLICY = ROOT / "config" / "policy-old-shop-move.toml"


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled text."""

    identifier: str
    column_format: ColumnFormat
    text: str
    spans: tuple[tuple[int, int, str, str, str], ...]
    after: str


def _case(line: str) -> Case:
    entry = json.loads(line)
    marks = tuple((s["start"], s["end"], s["platform"], s["kind"], s["decision"]) for s in entry["spans"])
    return Case(entry["id"], ColumnFormat(entry["format"]), entry["text"], marks, entry["after"])


LABELLED = tuple(_case(line) for line in CASES.read_text(encoding="utf-8").split("\n") if line)


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy(POLICY)


@pytest.fixture(scope="session")
def finder(policy: Policy) -> Finder:
    return Finder(policy)


@pytest.fixture(scope="session")
def other_policy() -> Policy:
    return load_policy(OTHER_POLICY)


@pytest.fixture(scope="session")
def prefilters(policy: Policy) -> Mapping[ColumnFormat, Prefilter]:
    return {column_format: Prefilter.compile(policy, frozenset({column_format})) for column_format in ColumnFormat}
