"""A fixed-rate load of authors: point UPDATEs and SELECTs on the same table, each timed from when it was due."""

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Final

import psycopg

PER_SECOND: Final = 100


@dataclass(frozen=True, slots=True)
class Latency:
    """In milliseconds."""

    median: float
    p99: float
    longest: float


def latency_during(dsn: str, rows: int, work: Callable[[], object]) -> Latency:
    """Let authors write while `work` runs; what their statements took."""
    context = multiprocessing.get_context("spawn")
    ended, receiver_sender = context.Event(), context.Pipe(duplex=False)
    receiver, sender = receiver_sender
    authors = context.Process(target=_write, args=(dsn, rows, ended, sender))
    authors.start()
    assert receiver.recv() == "ready"
    try:
        work()
    finally:
        ended.set()
        taken: list[float] = receiver.recv()
        authors.join()
    taken.sort()
    return Latency(statistics.median(taken), taken[int(len(taken) * 0.99)], taken[-1])


def _write(dsn: str, rows: int, ended: Event, sender: "multiprocessing.connection.Connection[object, object]") -> None:
    lot = random.Random(7)
    taken: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT 1")
        sender.send("ready")
        due = time.perf_counter()
        while not ended.is_set():
            due += 1 / PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            number = lot.randrange(1, rows + 1)
            if lot.random() < 0.5:
                connection.execute("UPDATE note SET author_id = author_id WHERE id = %s", (number,))
            else:
                connection.execute("SELECT body FROM note WHERE id = %s", (number,)).fetchone()
            taken.append((time.perf_counter() - due) * 1000)
    sender.send(taken)
