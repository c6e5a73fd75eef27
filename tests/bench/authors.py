"""A fixed-rate load of authors: point UPDATEs and SELECTs on the same table, each timed from when it was due."""

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Final

import psycopg

from cleanup.engine.lanes import come_after_others

# A site that is awake: so many authors, and so many statements a second from all of them together.
AUTHORS: Final = 8
PER_SECOND: Final = 1_000


@dataclass(frozen=True, slots=True)
class Latency:
    """In milliseconds."""

    median: float
    p99: float
    longest: float


def latency_during(dsn: str, rows: int, work: Callable[[], object]) -> Latency:
    """Let authors write while `work` runs; what their statements took."""
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    pipes = [context.Pipe(duplex=False) for _ in range(AUTHORS)]
    authors = [
        context.Process(target=_write, args=(dsn, rows, seed, ended, sender)) for seed, (_, sender) in enumerate(pipes)
    ]
    for author in authors:
        author.start()
    for receiver, sender in pipes:
        # An author that dies is the end of its pipe, once nobody else could write to it.
        sender.close()
        assert receiver.recv() == "ready"
    try:
        work()
    finally:
        ended.set()
        taken = sorted(one for receiver, _ in pipes for one in receiver.recv())
        for author in authors:
            author.join()
    return Latency(statistics.median(taken), taken[int(len(taken) * 0.99)], taken[-1])


@contextmanager
def bystanders(processes: int) -> Iterator[None]:
    """So many processes that compute at the priority of lanes and never touch a database.

    What authors feel beside them is the doing of the machine alone.
    """
    context = multiprocessing.get_context("spawn")
    present = [context.Process(target=_compute, daemon=True) for _ in range(processes)]
    for bystander in present:
        bystander.start()
    try:
        yield
    finally:
        for bystander in present:
            bystander.kill()
            bystander.join()


def _compute() -> None:
    come_after_others()
    while True:
        sum(range(1_000))


def _write(dsn: str, rows: int, seed: int, ended: Event, sender: "Connection[object, object]") -> None:
    lot = random.Random(seed)
    taken: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT 1")
        sender.send("ready")
        due = time.perf_counter()
        while True:
            due += lot.expovariate(PER_SECOND / AUTHORS)
            # What fell due while a statement waited is late as well: it is still made, and counted.
            if ended.is_set() and due > time.perf_counter():
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            number = lot.randrange(1, rows + 1)
            if lot.random() < 0.5:
                connection.execute("UPDATE note SET author_id = author_id WHERE id = %s", (number,))
            else:
                connection.execute("SELECT body FROM note WHERE id = %s", (number,)).fetchone()
            taken.append((time.perf_counter() - due) * 1000)
    sender.send(taken)
