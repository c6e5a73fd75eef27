"""The numbers of a job in Prometheus's format: at an HTTP endpoint, and as a file for the textfile collector."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from cleanup import VERSION
from cleanup.db.plans import PlanState
from cleanup.db.runs import RunState
from cleanup.db.throttles import Health
from cleanup.report.metrics_model import (
    LOCK_BOUNDS_SECONDS,
    Kind,
    Metric,
    Numbers,
    PlanNumbers,
    RunNumbers,
    WaitNumbers,
)
from cleanup.report.progress_model import PlanLook, RunLook, SignalLook, Standing

# One value with its labels in the order of the catalogue.
_Sample = tuple[Metric, tuple[str, ...], float]


class Exposition(Collector):
    """The numbers that were taken last, for whoever asks; both the endpoint and the file have the same."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._numbers: Numbers | None = None
        self._failed: str | None = None
        self._server: tuple[WSGIServer, Thread] | None = None

    def take(self, numbers: Numbers) -> None:
        """Tell these from now on."""
        self._numbers = numbers

    def fail(self, code: str) -> None:
        """Tell that the job ended with an error."""
        self._failed = code

    def serve(self, host: str, port: int) -> int:
        """Answer at /metrics in a thread; the port that it is. Raises OSError where it is taken."""
        self._server = start_http_server(port, host, self._registry)
        return self._server[0].server_port

    def write(self, file: Path) -> None:
        """Replace the file as a whole, so that nobody reads half of one. Raises OSError."""
        write_to_textfile(str(file), self._registry)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None

    def collect(self) -> Iterable[Family]:
        """Every metric that has a value now, in the order of the catalogue."""
        numbers = self._numbers
        samples = [*_of_job(self._failed), *(_of(numbers) if numbers is not None else ())]
        histograms = {Metric.RUN_LOCKS: _locks(numbers)} if isinstance(numbers, RunNumbers) else {}
        for metric in Metric:
            values = {labels: value for one, labels, value in samples if one is metric}
            if metric in histograms:
                yield histograms[metric]
            elif values:
                yield _family(metric, values)


def _family(metric: Metric, values: Mapping[tuple[str, ...], float]) -> Family:
    entry = metric.value
    kind = CounterMetricFamily if entry.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(entry.name, entry.meaning, labels=entry.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _locks(numbers: RunNumbers) -> Family:
    entry = Metric.RUN_LOCKS.value
    family = HistogramMetricFamily(entry.name, entry.meaning, labels=entry.labels)
    names = [*(str(bound) for bound in LOCK_BOUNDS_SECONDS), "+Inf"]
    buckets = list(zip(names, map(float, accumulate(numbers.lock_batches)), strict=True))
    family.add_metric(_run_labels(numbers.look), buckets, numbers.look.lock_seconds)
    return family


def _of_job(failed: str | None) -> Iterator[_Sample]:
    yield Metric.BUILD, (VERSION,), 1
    if failed is not None:
        yield Metric.JOB_FAILED, (failed,), 1


def _of(numbers: Numbers) -> Iterator[_Sample]:
    match numbers:
        case RunNumbers():
            yield from _of_run(numbers)
            yield from _of_throttle(numbers.look)
        case PlanNumbers():
            yield from _of_plan(numbers.look)
        case WaitNumbers():
            yield from _of_cutover(numbers.plan_id, numbers.cutover, numbers.seconds_left, numbers.at)


def _of_cutover(plan_id: int, cutover: datetime, seconds_left: float, at: datetime) -> Iterator[_Sample]:
    yield Metric.LOOK_AT, (), at.timestamp()
    yield Metric.CUTOVER_AT, (str(plan_id),), cutover.timestamp()
    yield Metric.CUTOVER_IN, (str(plan_id),), seconds_left


def _of_run(numbers: RunNumbers) -> Iterator[_Sample]:
    look = numbers.look
    labels = _run_labels(look)
    yield from _of_cutover(look.plan_id, look.cutover, (look.cutover - look.at).total_seconds(), look.at)
    for state in RunState:
        yield Metric.RUN_STATE, (*labels, str(look.plan_id), state.value), look.state is state
    for standing in Standing:
        yield Metric.RUN_STANDING, (*labels, standing.value), look.standing is standing
    yield Metric.RUN_PLANNED, labels, look.planned_findings
    for line in look.outcomes:
        yield Metric.RUN_SETTLED, (*labels, line.outcome), line.findings
        yield Metric.RUN_LINKS, (*labels, line.outcome), line.spans
    yield Metric.RUN_REFUSED, labels, look.refused_by_plan
    yield Metric.RUN_PROGRESS, labels, look.share
    if look.seconds_left is not None and not look.is_over:
        yield Metric.RUN_TIME_LEFT, labels, look.seconds_left
    yield Metric.RUN_BATCHES, labels, look.batches
    for cause, times in numbers.retries:
        yield Metric.RUN_RETRIES, (*labels, cause), times
    yield Metric.RUN_LOG_ROWS, labels, look.log_rows
    if look.last_batch_at is not None:
        yield Metric.RUN_LAST_BATCH, labels, look.last_batch_at.timestamp()
    yield Metric.RUN_DRIFT, labels, look.edited_since_plan / look.visited_findings if look.visited_findings else 0.0
    yield Metric.RUN_DRIFT_LIMIT, labels, numbers.drift_limit
    yield Metric.RUN_LANES, labels, len(look.lanes)
    yield Metric.RUN_LANES_WANTED, labels, numbers.lanes_wanted
    if look.wal_bytes_per_second is not None:
        yield Metric.RUN_WAL, labels, look.wal_bytes_per_second


def _of_throttle(look: RunLook) -> Iterator[_Sample]:
    run = str(look.run_id)
    yield Metric.PAUSED, (run,), look.standing is Standing.WAITING
    if look.word_age_seconds is not None:
        yield Metric.WORD_AGE, (run,), look.word_age_seconds
    for one in look.signals:
        yield from _of_signal((run, one.signal.value, one.unit), one)


def _of_signal(labels: tuple[str, ...], one: SignalLook) -> Iterator[_Sample]:
    if one.value is not None:
        yield Metric.SIGNAL_VALUE, labels, one.value
    yield Metric.SIGNAL_LIMIT, labels, one.limit
    yield Metric.SIGNAL_HEALTHY, labels, not one.health.holds
    yield Metric.SIGNAL_READABLE, labels, one.health not in (Health.UNREADABLE, Health.ACCEPTED)
    yield Metric.SIGNAL_AGE, labels, one.age_seconds
    yield Metric.SIGNAL_HELD, labels, one.health_seconds if one.health.holds else 0.0


def _of_plan(look: PlanLook) -> Iterator[_Sample]:
    labels = (str(look.plan_id),)
    yield from _of_cutover(look.plan_id, look.cutover, (look.cutover - look.at).total_seconds(), look.at)
    for state in PlanState:
        yield Metric.PLAN_STATE, (*labels, state.value), look.state is state
    yield Metric.PLAN_ROWS, labels, look.rows_read
    yield Metric.PLAN_ESTIMATE, labels, look.row_estimate
    yield Metric.PLAN_PROGRESS, labels, look.share
    yield Metric.PLAN_FINDINGS, labels, look.findings
    yield Metric.PLAN_CHUNKS, labels, look.chunks
    if look.last_chunk_at is not None:
        yield Metric.PLAN_LAST_CHUNK, labels, look.last_chunk_at.timestamp()
    yield Metric.PLAN_LANES, labels, len(look.lanes)


def _run_labels(look: RunLook) -> tuple[str, str]:
    return str(look.run_id), look.kind.value
