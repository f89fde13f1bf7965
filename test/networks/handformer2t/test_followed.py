"""A followed hand by its looks alone: what the whole network's looks see of that hand and side, as one graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from handformer2t_toys import TINY_WIDTHS, tiny  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.handformer2t.decode import LAPLACE_STD, encode  # noqa: E402
from hand_pose_ros.networks.handformer2t.followed import (  # noqa: E402
    Followed,
    FollowedHand,
    example_inputs,
    export_followed,
)
from hand_pose_ros.networks.onnx_operators import violations  # noqa: E402

SIDES = (1.0, -1.0)


def network() -> Handformer2T:
    torch.manual_seed(0)
    config = tiny(
        maps=True,
        order="place",
        delta=True,
        depth=True,
        closer=True,
        depth_look=True,
        presence=True,
        relative_depth=True,
        widths=replace(TINY_WIDTHS, decoder=(16,) * 3),
    )
    made = Handformer2T(config)
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            tensor += 0.05 * (torch.rand_like(tensor) if name.endswith("running_var") else torch.randn_like(tensor))
    return made.eval()


@pytest.mark.parametrize("hand", [0, 1])
@pytest.mark.parametrize("side", [0, 1])
def test_it_sees_what_the_whole_networks_looks_see(hand: int, side: int) -> None:
    whole = network()
    given = example_inputs(whole)
    size = whole.config.picture
    uv = torch.stack((given["expected_uv"][0], given["expected_uv"][0].flip(1) + 3.0))
    depth = torch.stack((given["expected_depth"][0], 0.5 * given["expected_depth"][0]))
    with torch.no_grad():
        image = given["rgb"].float().permute(0, 3, 1, 2) / 255
        seen = whole.seen(image, given["relief"])
        poses, scales, _ = whole.closer(seen, encode(uv, depth, size)[None])
        deep = whole.depth_look(seen, given["view"], poses, scales)
        poses, scales = deep.blended(poses, scales)
        own = {
            **given,
            "expected_uv": uv[hand][None],
            "expected_depth": depth[hand][None],
            "expected_side": torch.tensor([[SIDES[side]]]),
        }
        found = Followed(*FollowedHand(whole, 2.0)(*own.values()))
    assert bool(deep.known[0, hand]) and found.known.tolist() == [1.0]
    torch.testing.assert_close(found.uv[0], (poses[0, hand, side, :, :2] + 0.5) * size - 0.5, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.depth[0], 0.4 * poses[0, hand, side, :, 2], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.uv_std[0], 2 * LAPLACE_STD * size * scales[0, hand, side], rtol=1e-4, atol=1e-4)


def test_both_sides_logits_are_the_whole_networks_difference() -> None:
    whole = network()
    given = example_inputs(whole)
    with torch.no_grad():
        seen = whole.seen(given["rgb"].float().permute(0, 3, 1, 2) / 255, given["relief"])
        pose = encode(given["expected_uv"], given["expected_depth"], whole.config.picture)
        poses, scales, sides = whole.closer(seen, torch.stack((pose, pose), dim=1))
        deep = whole.depth_look(seen, given["view"], poses, scales)
        told = [
            Followed(*FollowedHand(whole)(*{**given, "expected_side": torch.tensor([[side]])}.values())).side
            for side in SIDES
        ]
    torch.testing.assert_close(told[0] - told[1], (sides + deep.sides)[:, 0], rtol=1e-4, atol=1e-4)


def test_where_no_depth_is_known_the_closer_look_has_the_last_word() -> None:
    whole = network()
    given = {**example_inputs(whole), "view": torch.zeros((1, 2))}
    given["relief"] = torch.zeros_like(given["relief"])
    with torch.no_grad():
        found = Followed(*FollowedHand(whole)(*given.values()))
        seen = whole.seen(given["rgb"].float().permute(0, 3, 1, 2) / 255, given["relief"])
        pose = encode(given["expected_uv"], given["expected_depth"], whole.config.picture)
        poses, _, _ = whole.closer.at(seen, pose[:, None], given["expected_side"], 1)
    assert found.known.tolist() == [0.0]
    torch.testing.assert_close(found.depth, 0.4 * poses[:, 0, :, 2])


def test_one_graph_that_engines_take(tmp_path: Path) -> None:
    whole = network()
    path = export_followed(whole, tmp_path / "toy.followed.onnx", {"name": "test"}, 1.5)
    model = onnx.load(str(path))
    assert not violations(model)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        assert all(size.dim_value > 0 for size in value.type.tensor_type.shape.dim), value.name
    session = onnxruntime.InferenceSession(str(path))
    told = session.get_modelmeta().custom_metadata_map
    assert told["model"] == "handformer2t_followed" and all(f"output.{name}" in told for name in Followed._fields)
    side = whole.config.picture
    generator = np.random.default_rng(3)
    for left in (False, True):
        given = {name: value.numpy() for name, value in example_inputs(whole).items()}
        given["rgb"] = generator.integers(0, 255, (1, side, side, 3)).astype(np.uint8)
        given["expected_side"] = np.float32([[-1.0 if left else 1.0]])
        with torch.no_grad():
            wanted = FollowedHand(whole, 1.5)(*(torch.from_numpy(value) for value in given.values()))
        for name, want, got in zip(Followed._fields, wanted, session.run(None, given), strict=True):
            assert got.shape == tuple(want.shape)
            assert np.abs(got - want.numpy()).max() / max(1.0, float(want.abs().max())) <= 1e-4, name


def test_a_network_without_looks_has_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="closer, depth_look"):
        export_followed(Handformer2T(tiny()), tmp_path / "x.onnx", {})
