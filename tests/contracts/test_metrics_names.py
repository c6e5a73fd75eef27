"""The metrics' names are as Prometheus wants them, and the page and the alerts have those of the code."""

import re
from pathlib import Path

import pytest

from cleanup.report.as_metrics import Exposition
from cleanup.report.metrics_model import Kind, Metric

ROOT = Path(__file__).parents[2]
ALERTS = (ROOT / "config" / "alerts.yml").read_text(encoding="utf-8")
PAGE = (ROOT / "runbooks" / "metrics.md").read_text(encoding="utf-8")
# What Prometheus makes of a histogram.
PARTS = ("_bucket", "_sum", "_count")

_NAME = re.compile(r"\bcleanup_[a-z_]+\b")
_LABELS = re.compile(r"\b(cleanup_[a-z_]+)\{([^}]*)\}")


def entry_of(name: str) -> Metric | None:
    """The metric of that name, or whose part it is."""
    for metric in Metric:
        if name == metric.value.name or (
            metric.value.kind is Kind.HISTOGRAM and name in [metric.value.name + part for part in PARTS]
        ):
            return metric
    return None


def expressions() -> list[str]:
    return re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)


@pytest.mark.parametrize("metric", Metric)
def test_a_name_is_as_prometheus_wants_it(metric: Metric) -> None:
    entry = metric.value
    assert re.fullmatch(r"cleanup_[a-z]+(_[a-z]+)*", entry.name)
    assert entry.name.endswith("_total") == (entry.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|minutes|hours|mib|percent)\b", entry.name), "base units only"
    assert entry.meaning.endswith(".")


def test_no_name_is_there_twice() -> None:
    assert len({metric.value.name for metric in Metric}) == len(Metric)


def test_every_alert_is_over_metrics_of_the_code() -> None:
    names = [name for expression in expressions() for name in _NAME.findall(expression)]
    assert len(expressions()) == ALERTS.count("- alert:") > 10
    assert [name for name in names if entry_of(name) is None] == []


def test_every_alert_asks_for_labels_that_the_metric_has() -> None:
    for expression in expressions():
        for name, matchers in _LABELS.findall(expression):
            metric = entry_of(name)
            assert metric is not None
            asked = set(re.findall(r"(\w+)\s*=~?", matchers))
            assert asked <= set(metric.value.labels), name


def test_every_alert_says_what_it_means_and_where_to_look() -> None:
    rules = ALERTS.split("- alert: ")[1:]
    for rule in rules:
        assert "severity:" in rule
        assert "summary:" in rule
        assert "do:" in rule
        for page in re.findall(r"runbooks/([\w-]+\.md)", rule):
            assert (ROOT / "runbooks" / page).is_file(), page


def test_the_page_has_every_metric_with_its_meaning_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `(cleanup_\w+)`(?: \([\w, ]+\))? \| (.+) \|$", PAGE, re.MULTILINE))
    assert rows == {metric.value.name: metric.value.meaning for metric in Metric}


def test_a_job_that_has_not_looked_yet_tells_its_version_alone() -> None:
    assert [family.name for family in Exposition().collect()] == [Metric.BUILD.value.name]
