"""A lane's place on its host: behind whoever serves authors there."""

import ctypes
import os
import platform
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

# A kernel that groups processes by session weighs session against session, and `nice` within one only. The server's
# processes are sessions of their own, so a lane has to be one too, with a weight of its own.
_SESSION: Final = Path("/proc/self/autogroup")
# The kernel lets one session be weighed every tenth of a second, and all lanes start at once.
_ATTEMPTS: Final = 30
_PAUSE_SECONDS: Final = 0.1
# Until its slice is over, or until the next tick of the clock, nobody takes the core from a process that has just got
# it: with the usual 1.4 ms that is mostly the tick, of 4 ms on many kernels. This is the shortest that there is.
_SHORTEST_SLICE_NS: Final = 100_000
# A short slice also asks to be served soon, unless the process weighs little; 10 of niceness make a tenth of a weight.
# Twice the usual for its weight: so a lane's turn falls due after that of a process of usual weight and slice.
_UNWEIGHED_SLICE_NS: Final = 3_000_000
_WEIGHT_PER_NICENESS: Final = 1.25
# sched_setattr(2), which Python does not have, and `struct sched_attr` in its first form.
_SET_SCHEDULING: Final = {"x86_64": 314, "aarch64": 274}
_SCHEDULING: Final = struct.Struct("=IIQiIQQQ")


def come_after_others(niceness: int) -> None:
    """Make this process a session of its own that comes so far after others, or as far as it does already.

    `niceness` counts as nice(1) does, from 0, like others, to 19. Where the host's kernel does not know some of what
    that takes, or forbids it, the process works as well without.
    """
    os.setsid()
    niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if niceness > 0:
        with suppress(OSError):
            _weigh_less_as_a_session(niceness)
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            _run_in_short_slices(niceness)


def _weigh_less_as_a_session(niceness: int) -> None:
    for _ in range(_ATTEMPTS):
        try:
            _SESSION.write_text(str(niceness), encoding="ascii")
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _run_in_short_slices(niceness: int) -> None:
    # Kernels before 6.12 overlook the slice. What the call answers does not matter.
    number = _SET_SCHEDULING.get(platform.machine())
    if number is not None:
        slice_ns = max(_SHORTEST_SLICE_NS, round(_UNWEIGHED_SLICE_NS / _WEIGHT_PER_NICENESS**niceness))
        wanted = _SCHEDULING.pack(_SCHEDULING.size, os.SCHED_OTHER, 0, niceness, 0, slice_ns, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, wanted, 0)
