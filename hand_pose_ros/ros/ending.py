"""Ctrl-C comes at any moment: it must not show as a traceback, nor be waited for by an engine that is busy."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation

# From the order to end to the end (s), the rest of two seconds for what comes before and after.
GRACE_S: Final = 1.5
_LOOK_S: Final = 0.05
_AFTER_SHUTDOWN = (rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle)


@contextmanager
def until_shutdown(context: Context) -> Iterator[None]:
    """Leave the block quietly when rclpy fails because the context has been shut down; other failures pass."""
    try:
        yield
    except _AFTER_SHUTDOWN:
        if context.ok():
            raise


def leave_in_time(context: Context, status: Callable[[], int], grace_s: float = GRACE_S) -> threading.Event:
    """End the process by force where it has not ended `grace_s` after the context: a thread watches it.

    An engine that is being built, or a driver that hangs, cannot be interrupted; whoever asked the node to end (launch,
    a robot's safety) must not wait for it. `status` gives the exit status. Set the event returned when all is done.
    """
    done = threading.Event()
    threading.Thread(target=_watch, args=(context, done, status, grace_s), name="leave_in_time", daemon=True).start()
    return done


def _watch(context: Context, done: threading.Event, status: Callable[[], int], grace_s: float) -> None:
    while context.ok():
        if done.wait(_LOOK_S):
            return
    if done.wait(grace_s):
        return
    sys.stderr.write(f"still busy {grace_s:g} s after the order to end (an engine at work?): leaving by force\n")
    sys.stderr.flush()
    os._exit(status())
