"""How a lane gets its order, and that one ends quietly whose job is gone before, or has no work for it."""

import multiprocessing
import os
import struct
from multiprocessing.connection import Connection

import pytest

from cleanup.engine import lanes
from cleanup.engine.lanes import Stop, WaitingLanes, run_lanes
from cleanup.errors import PlanUnfinished

_LONGER_THAN_A_PIPE = 1_000_000
_MESSAGE_LENGTH = struct.Struct("!i")


def end_where_order_is_whole(order: bytes, lane: int, stop: Stop) -> None:
    """A lane's work: a failure where the order is another one."""
    del lane, stop
    assert order == bytes(_LONGER_THAN_A_PIPE)


def never(order: object, lane: int, stop: Stop) -> None:
    """A lane's work that none comes to."""
    del order, lane, stop
    raise AssertionError("worked without an order")


@pytest.mark.parametrize("sent", [b"", _MESSAGE_LENGTH.pack(100) + b"half"], ids=["nothing", "a part"])
def test_a_lane_ends_quietly_whose_job_was_gone_before_its_order_was_there(
    sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    spawn = multiprocessing.get_context("spawn")
    until_closed, keep_going = spawn.Pipe(duplex=False)
    ending, sender = spawn.Pipe(duplex=False)
    lane = spawn.Process(target=lanes._lane, args=(never, 1, until_closed, sender))
    lane.start()
    until_closed.close()
    sender.close()
    os.write(keep_going.fileno(), sent)
    keep_going.close()
    lane.join()
    assert lane.exitcode == 0
    assert _all_that_was_said(ending) == []
    assert capfd.readouterr() == ("", "")


def test_an_order_may_be_longer_than_a_pipe_holds() -> None:
    assert run_lanes(end_where_order_is_whole, bytes(_LONGER_THAN_A_PIPE), 2, lambda: None) is None


def test_lanes_that_have_loaded_get_the_order_first_and_the_surplus_is_ended() -> None:
    seen = set[int | None]()
    with WaitingLanes() as waiting:
        waiting.load(end_where_order_is_whole, 2)
        waiting.load(end_where_order_is_whole, 3)
        loaded = _lanes_here()
        assert len(loaded) == 3
        order = bytes(_LONGER_THAN_A_PIPE)
        run_lanes(end_where_order_is_whole, order, 2, lambda: seen.update(_lanes_here()), waiting=waiting)
    assert seen <= loaded
    assert _lanes_here() == set()


def test_lanes_that_get_no_order_are_ended(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PlanUnfinished):
        _refuse_while_lanes_load()
    assert _lanes_here() == set()
    assert capfd.readouterr() == ("", "")


def _refuse_while_lanes_load() -> None:
    with WaitingLanes() as waiting:
        waiting.load(never, 2)
        assert len(_lanes_here()) == 2
        raise PlanUnfinished("refused while they load", hint="none.")


def _lanes_here() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


def _all_that_was_said(ending: Connection) -> list[object]:
    said: list[object] = []
    while ending.poll():
        try:
            said.append(ending.recv())
        except EOFError:
            break
    return said
