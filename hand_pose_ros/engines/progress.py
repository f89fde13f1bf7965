"""Who is told while an engine is being built, which takes minutes.

Whoever loads models (the node, a command) listens for the time of loading; the builders, several floors below, tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """`tell` hears a line such as "building kpt_fusion_lite: 40 %"; once `wanted` is false, building ends early.

    Both are called in the thread that loads the model, about twice a second.
    """

    tell: Callable[[str], None] = lambda text: None
    wanted: Callable[[], bool] = lambda: True


_current: ContextVar[Listener | None] = ContextVar("hand_pose_engine_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside of the `with` block, in this thread, `listener` hears what is built."""
    token = _current.set(listener)
    try:
        yield
    finally:
        _current.reset(token)


def current_listener() -> Listener:
    """Who listens in this thread; one that hears nothing where nobody does."""
    return _current.get() or Listener()
