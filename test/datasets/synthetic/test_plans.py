from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.plans import PictureWish, Plan, carry_out
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.samples import CropSample, hand_crop_sample, plan_crop
from hand_pose_ros.datasets.synthetic.scene import sample_scene
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.geometry.camera import scale_intrinsics


def plans(count: int, config: SyntheticConfig) -> list[Plan[CropSample]]:
    return [plan_crop(np.random.default_rng([8, index]), config) for index in range(count)]


def test_a_sample_is_the_same_alone_and_in_company(renderer: Renderer) -> None:
    """To the last bit: colour, depth, mask and truth."""
    config = SyntheticConfig(negatives=0.3, second_hand=0.5)
    together = carry_out(plans(20, config), renderer)
    for index, sample in enumerate(together):
        alone = hand_crop_sample(renderer, np.random.default_rng([8, index]), config)
        for name in ("color", "depth", "mask", "joints", "center", "visible"):
            assert np.array_equal(getattr(sample, name), getattr(alone, name)), (index, name)
        assert (sample.negative, sample.wrong_side) == (alone.negative, alone.wrong_side)


def test_results_keep_their_order() -> None:
    def plan(number: int) -> Plan[int]:
        for _ in range(number % 3):
            yield from empty()
        return number

    def empty() -> Plan[None]:
        return
        yield

    assert carry_out([plan(number) for number in range(7)]) == list(range(7))


def test_pictures_need_a_renderer() -> None:
    spec = sample_scene(np.random.default_rng(0), SyntheticConfig())

    def plan() -> Plan[None]:
        yield PictureWish(spec, spec.camera)

    with pytest.raises(ValueError, match="renderer"):
        carry_out([plan()])


def test_many_pictures_are_those_drawn_one_by_one(renderer: Renderer) -> None:
    """More than fit into one stack, and of several sizes."""
    config = SyntheticConfig(second_hand=0.5)
    specs = [sample_scene(np.random.default_rng([9, index]), config) for index in range(6)]
    sizes = ((32, 24), (40, 40), (32, 24))
    views = [(specs[k % 6], scale_intrinsics(specs[k % 6].camera, *sizes[k % 3])) for k in range(150)]
    many = renderer.render_many(views)
    assert len(many) == 150
    for k in (0, 1, 2, 70, 130, 149):
        one = renderer.render(*views[k])
        assert np.array_equal(one.color, many[k].color)
        assert np.array_equal(one.depth, many[k].depth)
        assert np.array_equal(one.mask, many[k].mask)
