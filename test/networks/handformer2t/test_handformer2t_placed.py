"""Our variant: maps under the coarse pose, and hands ordered by their place in the picture."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from handformer2t_toys import TINY_WIDTHS, tiny  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig, Handformer2TOutput  # noqa: E402
from hand_pose_ros.networks.handformer2t.decode import by_side  # noqa: E402
from hand_pose_ros.networks.handformer2t.export import DeployedHandformer2T, export_onnx, output_names  # noqa: E402
from hand_pose_ros.networks.handformer2t.maps import DECODED_STRIDE, STRIDE, MapPose, turn  # noqa: E402

CROP, SURE = 64, 20.0
DECODED = dataclasses.replace(TINY_WIDTHS, decoder=(12, 10, 6), whole_channels=(2, 1, 1, 0))


def answer(sides: tuple[float, float], presence: tuple[float, float] = (SURE, SURE)) -> Handformer2TOutput:
    """The first hand lies at -0.25, the second at 0.25 and 0.1 behind it."""
    pose = torch.tensor([-0.25, 0.25])[None, None, :, None, None].expand(1, 1, 2, 21, 3)
    return Handformer2TOutput(
        poses=pose,
        scales=pose[..., 0].abs() + torch.tensor([0.0, 0.1])[:, None],
        presence_logits=torch.tensor([presence]),
        relative_depth=torch.tensor([0.1]),
        side_logits=torch.tensor([sides]),
    )


@pytest.mark.parametrize(
    ("sides", "right", "relative"),
    [((3.0, -3.0), -0.25, 0.1), ((-3.0, 3.0), 0.25, -0.1), ((1.0, 2.0), 0.25, -0.1), ((-1.0, -2.0), -0.25, 0.1)],
)
def test_hands_go_to_their_sides(sides: tuple[float, float], right: float, relative: float) -> None:
    found = by_side(answer(sides))
    assert float(found.pose[0, 0, 0, 0]) == right and float(found.pose[0, 1, 0, 0]) == -right
    assert float(found.scale[0, 0, 0]) == pytest.approx(0.25 if right < 0 else 0.35)
    assert found.relative_depth is not None and float(found.relative_depth) == pytest.approx(relative)
    assert found.presence is not None
    torch.testing.assert_close(found.presence, torch.ones(1, 2))


@pytest.mark.parametrize("side", [-4.0, 4.0])
def test_one_hand_is_both_answers_and_presence_says_which(side: float) -> None:
    # What is said of the second hand, which is not there, must not matter.
    found = by_side(answer((side, -100.0), (SURE, -SURE)))
    torch.testing.assert_close(found.pose, torch.full((1, 2, 21, 3), -0.25))
    assert found.presence is not None
    share = torch.sigmoid(torch.tensor(side))
    torch.testing.assert_close(found.presence[0], torch.stack((share, 1 - share)), atol=1e-4, rtol=0)


def test_hands_by_side_stay_as_they_are() -> None:
    output = answer((1.0, 2.0))._replace(side_logits=None)
    found = by_side(output)
    assert found.pose is not None and torch.equal(found.pose, output.poses[-1])


def test_maps_expect_the_place_of_their_peak() -> None:
    cells = CROP // STRIDE
    pose = MapPose((4, 4, 4), cells)
    maps = torch.full((1, 105, cells, cells), -50.0)
    maps[:, :42, 2, 5], maps[:, 42:84] = 50.0, 0.125
    maps[:, 84:], maps[:, 84:, 2, 5] = 0.0, 0.75
    pose.maps.forward = lambda levels: maps.flatten(2)  # type: ignore[method-assign]
    expected = torch.tensor([5.5 / cells - 0.5, 2.5 / cells - 0.5, 0.125])
    found = pose(())
    torch.testing.assert_close(found.pose, expected.expand(1, 2, 21, 3))
    torch.testing.assert_close(found.facing, torch.full((1, 2), 0.75))


def test_a_turn_is_a_sine_whose_sign_a_mirror_changes() -> None:
    pose = torch.zeros(21, 3)
    pose[5], pose[17] = torch.tensor([3.0, 0.0, 9.0]), torch.tensor([1.0, 1.0, -9.0])
    assert float(turn(pose)) == pytest.approx(math.sqrt(0.5), abs=1e-5)
    assert float(turn(pose * torch.tensor([-1.0, 1.0, 1.0]))) == pytest.approx(-math.sqrt(0.5), abs=1e-5)
    assert torch.isfinite(turn(torch.zeros(21, 3)))


def test_the_coarse_pose_begins_at_the_maps() -> None:
    torch.manual_seed(0)
    network = Handformer2T(tiny(maps=True, presence=True, order="place")).eval()
    with torch.no_grad():
        output = network(torch.rand(2, 3, CROP, CROP))
    assert output.map_pose is not None and output.side_logits is not None and output.side_logits.shape == (2, 2)
    # The heads begin near zero.
    assert (output.poses[0] - output.map_pose).abs().max() < 0.05


@pytest.mark.parametrize("stages", [1, 3, 4])
def test_with_a_decoder_maps_are_finer_and_refiners_read_it(stages: int) -> None:
    torch.manual_seed(0)
    network = Handformer2T(tiny(maps=True, presence=True, order="place", widths=DECODED, stages=stages)).eval()
    with torch.no_grad():
        levels = network.levels(torch.rand(2, 3, CROP, CROP))
        output = network.read(levels)
    assert [tuple(level.shape[1:]) for level in levels] == [(6, 16, 16), (10, 8, 8), (12, 4, 4), (16, 2, 2)]
    assert output.map_logits is not None and output.map_logits.shape[-1] == (CROP // DECODED_STRIDE) ** 2
    assert len(output.poses) == stages


def test_the_decoders_graph_is_the_network(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = Handformer2T(
        tiny(maps=True, presence=True, order="place", delta=True, relative_depth=True, widths=DECODED)
    )
    crop = torch.randint(0, 255, (1, CROP, CROP, 3), dtype=torch.uint8)
    path = export_onnx(network, tmp_path / "a.onnx", {})
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = DeployedHandformer2T(network)(crop)
    found = session.run(list(output_names(network)), {"rgb": crop.numpy()})
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-4)


def test_an_order_by_place_needs_presence() -> None:
    with pytest.raises(ValueError, match="presence"):
        Handformer2TConfig(order="place")
