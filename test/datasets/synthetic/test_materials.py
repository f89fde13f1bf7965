from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.materials import hide_some, random_color, sample_material
from hand_pose_ros.datasets.synthetic.placement import affine
from hand_pose_ros.datasets.synthetic.spec import Label, Material, Primitive, Shape

PLACE = affine(np.eye(3), np.ones(3), np.zeros(3))


def test_colours_are_of_all_kinds() -> None:
    rng = np.random.default_rng(0)
    colors = np.array([random_color(rng) for _ in range(2000)])
    assert colors.min() >= 0.01 and colors.max() <= 0.95
    assert (colors.max(axis=1) < 0.1).mean() > 0.03
    assert (colors.min(axis=1) > 0.6).mean() > 0.03
    assert (np.ptp(colors, axis=1) > 0.3).mean() > 0.1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_surfaces_is_hidden_but_never_skin(share: float) -> None:
    rng = np.random.default_rng(1)
    skin = Material((0.5, 0.4, 0.3), (0.5, 0.4, 0.3), skin=True)
    things = [Primitive(Shape.BOX, PLACE, sample_material(rng), Label.OTHER) for _ in range(600)]
    arms = [Primitive(Shape.CAPSULE, PLACE, skin, Label.RIGHT_FOREARM) for _ in range(20)]
    hidden = hide_some(rng, [*things, *arms], share)
    assert np.mean([thing.material.loss > 0 for thing in hidden[:600]]) == pytest.approx(share, abs=0.06)
    assert hidden[600:] == arms
