"""Ctrl-C comes at any moment: what is in the middle of publishing then must not end with a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation

_AFTER_SHUTDOWN = (rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle)


@contextmanager
def until_shutdown(context: Context) -> Iterator[None]:
    """Leave the block quietly when rclpy fails because the context has been shut down; other failures pass."""
    try:
        yield
    except _AFTER_SHUTDOWN:
        if context.ok():
            raise
