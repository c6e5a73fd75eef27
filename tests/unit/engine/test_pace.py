"""What a lane makes of a batch's time: the rest after it."""

from dataclasses import replace

import pytest

from cleanup.config import Pace
from cleanup.engine.pace import rest_seconds


@pytest.mark.parametrize(("rest_percent", "seconds"), [(0, 0.0), (100, 0.2), (300, 0.6)])
def test_a_lane_rests_for_a_part_of_what_its_batch_took(rest_percent: int, seconds: float) -> None:
    assert rest_seconds(replace(Pace(), rest_percent=rest_percent), 200) == pytest.approx(seconds)


def test_it_never_rests_until_its_lease_is_over() -> None:
    pace = replace(Pace(), rest_percent=1_000, lease_seconds=9)
    assert rest_seconds(pace, 60_000) == pytest.approx(3)
