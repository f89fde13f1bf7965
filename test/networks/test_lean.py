"""The graph that is exported computes what the trained network computes, with far fewer operators."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from every_network import NETWORKS, fusion_inputs  # noqa: E402

from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.config import FusionParts  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.coords import in_plane_rotation, invert_3x3  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.export import OUTPUT_NAMES, DeployedKeypointFusion  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.lean import LeanKeypointFusion, inverse, lean  # noqa: E402
from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402

# Tilted, mirrored, and seen in perspective.
TURNS = ([[0.8, -0.6, 38.1], [0.6, 0.8, -25.4], [0, 0, 1]], [[-1, 0, 127], [0, 1, 0], [0, 0, 1]])
PERSPECTIVE = [[1, 0, 0], [0, 1, 0], [5e-4, -2e-4, 1]]


@pytest.mark.parametrize("size", ["lite", "r18", "convnext_t"])
def test_numbers_are_the_networks(size: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[f"kpt_fusion {size}"]().module.network
    given = {name: value.repeat(5, *[1] * (value.ndim - 1)) for name, value in fusion_inputs().items()}
    for sample, turn in enumerate((*TURNS, PERSPECTIVE)):
        given["crop_matrix"][sample] = torch.tensor(turn, dtype=torch.float32) @ given["crop_matrix"][sample]
    given["cube"][1] = torch.tensor([0.2, 0.3, 0.25])
    given["rgb"][2], given["depth"][3], given["depth"][4, :, 64:] = 0, 0, 0
    with torch.no_grad():
        expected = DeployedKeypointFusion(network)(**given)
        got = DeployedKeypointFusion(lean(network, 5))(**given)
    for name, value, reference in zip(OUTPUT_NAMES, got, expected, strict=True):
        assert reference.std() > 0
        torch.testing.assert_close(value, reference, rtol=0, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize(("size", "share"), [("lite", 0.75), ("r18", 0.85)])
def test_operators_are_far_fewer(size: str, share: float, tmp_path: Path) -> None:
    exported = NETWORKS[f"kpt_fusion {size}"]()
    module = exported.module
    plain = write_graph(module, tmp_path / "plain.onnx", exported.inputs, exported.outputs, {})
    lean_nodes, plain_nodes = (
        len(onnx.load(str(path)).graph.node) for path in (exported.write(tmp_path / "lean.onnx", 1), plain)
    )
    assert lean_nodes < share * plain_nodes


def test_what_has_parts_taken_out_is_exported_as_it_is_trained() -> None:
    changed = ({"stages": 0}, {"fusion": "dense"}, {"parts": FusionParts(refinement=False)})
    networks = [KeypointFusion(KeypointFusionConfig(**change)) for change in changed]  # type: ignore[arg-type]
    assert [lean(network) is network for network in networks] == [True, True, True]
    assert isinstance(lean(KeypointFusion(KeypointFusionConfig(stages=1))), LeanKeypointFusion)


def test_an_inverse_is_an_inverse() -> None:
    matrix = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(inverse(matrix), invert_3x3(matrix), rtol=0, atol=0)


def test_a_rotation_is_the_crops() -> None:
    network = lean(KeypointFusion(KeypointFusionConfig(stages=1)))
    assert isinstance(network, LeanKeypointFusion)
    matrix = torch.tensor([TURNS[0], [[0, 0, 1], [0, 0, 1], [0, 0, 1]]], dtype=torch.float32) * 2.5
    torch.testing.assert_close(network.rotation(matrix), in_plane_rotation(matrix))
