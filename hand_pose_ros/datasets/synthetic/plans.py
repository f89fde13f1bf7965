"""Samples that are made many at a time although each is written down as if it were alone.

A plan is a generator that draws one sample from its own random numbers. Where it needs something that is cheaper for
many (a pose checked for self-penetration, a posed hand, a picture) it yields a wish and is sent the result. `carry_out`
advances many plans together and grants equal wishes in one go. What a plan makes does not depend on its company.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hand_pose_ros.datasets.synthetic.skinning import HandWish, PosedHand, pose_hands
from hand_pose_ros.datasets.synthetic.spec import Rendered, SceneSpec
from hand_pose_ros.hand_model.pose_prior import choose_free
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

if TYPE_CHECKING:
    from hand_pose_ros.datasets.synthetic.renderer import Renderer

T = TypeVar("T")


@dataclass(frozen=True)
class PoseWish:
    """The first of the candidate poses (3, 22), in degrees, that is free of itself; granted as hand_pose (45,)."""

    candidates: DoubleArray


@dataclass(frozen=True)
class PictureWish:
    """A scene seen by a camera; granted as `Rendered`."""

    spec: SceneSpec
    camera: Intrinsics


Wish = PoseWish | HandWish | PictureWish
Plan = Generator[Wish, Any, T]
_Pending = list[tuple[int, Wish]]


def carry_out(plans: Sequence[Plan[T]], renderer: Renderer | None = None) -> list[T]:
    """What the plans return, in order. Without a renderer they must not wish for pictures (ValueError)."""
    results: dict[int, T] = {}
    pending: _Pending = []
    for index, plan in enumerate(plans):
        _advance(index, plan, None, pending, results)
    while pending:
        # Pictures come last: as many as possible then wait for the same call.
        kind = next(k for k in (PoseWish, HandWish, PictureWish) if any(isinstance(wish, k) for _, wish in pending))
        chosen = [(index, wish) for index, wish in pending if isinstance(wish, kind)]
        pending = [(index, wish) for index, wish in pending if not isinstance(wish, kind)]
        for (index, _), granted in zip(chosen, _grant([wish for _, wish in chosen], renderer), strict=True):
            _advance(index, plans[index], granted, pending, results)
    return [results[index] for index in range(len(plans))]


def _advance(index: int, plan: Plan[T], granted: Any, pending: _Pending, results: dict[int, T]) -> None:
    try:
        pending.append((index, plan.send(granted)))
    except StopIteration as end:
        results[index] = end.value


def _grant(wishes: Sequence[Wish], renderer: Renderer | None) -> Sequence[FloatArray | PosedHand | Rendered]:
    poses = [wish.candidates for wish in wishes if isinstance(wish, PoseWish)]
    if poses:
        return list(choose_free(np.stack(poses))[1])
    hands = [wish for wish in wishes if isinstance(wish, HandWish)]
    if hands:
        return pose_hands(hands)
    if renderer is None:
        raise ValueError("plans: expected a renderer for plans that wish for pictures, got None")
    return renderer.render_many([(wish.spec, wish.camera) for wish in wishes if isinstance(wish, PictureWish)])
