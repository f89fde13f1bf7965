"""Sizes, stages, parts and the dense baseline: each exists, trains with the losses, and exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import FusionParts, KeypointFusion, KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.config import ALL_PARTS, PRESETS, Widths  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.export import (  # noqa: E402
    INPUT_NAMES,
    OUTPUT_NAMES,
    DeployedKeypointFusion,
    example_inputs,
    export_onnx,
)
from hand_pose_ros.training.losses import KeypointFusionTargets, keypoint_fusion_loss  # noqa: E402

MakeInputs = Callable[[int, int], dict[str, Any]]
PARTS = tuple(field.name for field in fields(FusionParts))
# A backbone's parameters are not what is tested here.
NARROW = {
    **{"depth": (8, 8, 8, 8), "rgb": (8, 8, 8, 8), "depth_blocks": (1, 1, 1, 1), "rgb_blocks": (1, 1, 1, 1)},
    **{"features": 16, "tokens": 16, "layers": 1, "dropout": 0.0},
}


def narrow(size: str) -> Widths:
    """A size's kind of network with few channels."""
    return replace(PRESETS[size], **NARROW)  # type: ignore[arg-type]


def without(*parts: str) -> FusionParts:
    return FusionParts(**dict.fromkeys(parts, False))


CASES = {
    "depth only": {"stages": 0},
    "one stage": {"stages": 1},
    "three stages": {"stages": 3},
    "dense": {"fusion": "dense"},
    "no colour weights": {"parts": without("heatmap_weights", "geometry_adjacency")},
    "nothing": {"parts": without(*PARTS)},
    **{f"no {part}": {"parts": without(part)} for part in PARTS},
}


def _config(size: str, case: str) -> KeypointFusionConfig:
    return KeypointFusionConfig(size=size, widths=narrow(size), **CASES[case])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "case"), [*((size, case) for size in ("lite", "r18") for case in CASES), ("convnext_t", "one stage")]
)
def test_every_parameter_learns_from_the_losses(make_inputs: MakeInputs, size: str, case: str) -> None:
    """What a switch takes out leaves neither a parameter without use nor a term without a prediction."""
    torch.manual_seed(0)
    config = _config(size, case)
    network = KeypointFusion(config).train()
    inputs = make_inputs(2, 0)
    output = network(**inputs)
    stages, parts, dense = config.stages, config.parts, config.fusion == "dense"
    assert len(output.final) == stages
    assert len(output.refined) == (stages if parts.refinement and not dense else 0)
    assert len(output.spatial_weights) == (stages if parts.heatmap_weights and not dense else 0)
    assert output.joints.shape == (2, 21, 3)
    ones = torch.ones(2)
    targets = KeypointFusionTargets(0.3 * torch.randn(2, 21, 3), ones, ones, ones)
    geometry = CropGeometry(inputs["center"], inputs["crop_matrix"], inputs["cube"], inputs["intrinsics"])
    terms = keypoint_fusion_loss(output, targets, geometry)
    assert sum(name.startswith("final") for name in terms) == stages
    terms["total"].backward()
    # A bias in front of a batch norm has no gradient but rounding; it must be reached all the same.
    learns = {n: p.grad is not None and (p.grad.any() or n.endswith(".bias")) for n, p in network.named_parameters()}
    assert [name for name, does in learns.items() if not does] == []


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("size", ["lite", "r18"])
def test_a_part_taken_out_takes_its_parameters(size: str, part: str) -> None:
    full = KeypointFusion(KeypointFusionConfig(size=size, widths=narrow(size))).state_dict()  # type: ignore[arg-type]
    less = KeypointFusion(_config(size, f"no {part}")).state_dict()
    gone = {name.split(".")[2] for name in full.keys() - less.keys()}
    expected = {
        "heatmap_weights": {"attend", "mix"},
        "geometry_adjacency": {"mix"},
        "point_features": {"aggregate"},
        "projected_rgb": {"point_rgb", "point_rgb_norm"},
        "refinement": {"depth_joints"},
    }
    assert gone == expected[part]
    assert less.keys() <= full.keys()


def test_depth_only_is_blind_to_colour(make_inputs: MakeInputs) -> None:
    network = KeypointFusion(_config("lite", "depth only")).eval()
    inputs = make_inputs(1, 0)
    with torch.no_grad():
        seen, blind = network(**inputs), network(**{**inputs, "rgb": torch.zeros_like(inputs["rgb"])})
    assert torch.equal(seen.joints, blind.joints)
    assert torch.equal(seen.presence_logit, blind.presence_logit)


def test_without_point_features_the_cloud_is_not_seen(make_inputs: MakeInputs) -> None:
    """Only the geometry adjacency map may still see it; without that one, moving the points changes nothing."""
    network = KeypointFusion(
        KeypointFusionConfig(widths=narrow("lite"), parts=without("point_features", "geometry_adjacency"))
    ).eval()
    given: list[Any] = []
    stage = network.stages[0]
    stage.register_forward_pre_hook(lambda _, args: given.append(args))
    with torch.no_grad():
        network(**make_inputs(1, 0))
        inputs, joints, previous = given[0]
        usual = stage(inputs, joints, previous).final
        moved = stage(inputs._replace(points=inputs.points + 0.2), joints, previous).final
    assert torch.equal(usual, moved)


@pytest.mark.parametrize(("size", "least", "most"), [("lite", 2, 3), ("r18", 27, 29), ("convnext_t", 65, 69)])
def test_sizes_in_millions(size: str, least: float, most: float) -> None:
    with torch.device("meta"):
        network = KeypointFusion(KeypointFusionConfig(size=size))  # type: ignore[arg-type]
    assert least < sum(p.numel() for p in network.parameters()) / 1e6 < most


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "r50"}, "size: expected one of"),
        ({"stages": 4}, "stages: expected 0 to 3, got 4"),
        ({"stages": -1}, "stages: expected 0 to 3, got -1"),
        ({"fusion": "late"}, "fusion: expected 'keypoint' or 'dense'"),
        ({"stages": 0, "parts": without("refinement")}, "parts: they are parts of keypoint fusion stages"),
        ({"fusion": "dense", "parts": without("refinement")}, "parts: they are parts of keypoint fusion stages"),
        ({"variant": "authors"}, "variant 'authors' exists with size"),
        ({"variant": "authors", "size": "r18", "stages": 1}, "variant 'authors' exists with size"),
        ({"variant": "authors", "size": "r18", "parts": without("refinement")}, "all parts only"),
    ],
)
def test_impossible_configurations(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeypointFusionConfig(**change)


def test_defaults_have_not_moved() -> None:
    config = KeypointFusionConfig()
    assert (config.size, config.variant, config.stages, config.fusion) == ("lite", "default", 2, "keypoint")
    assert config.parts == ALL_PARTS == FusionParts()


def test_shipped_weights_load() -> None:
    path = Path(__file__).parents[2] / "models" / "weights" / "kpt_fusion_lite.pt"
    KeypointFusion(KeypointFusionConfig()).load_state_dict(torch.load(path, map_location="cpu", weights_only=True))


@pytest.mark.parametrize(
    ("size", "case"),
    [
        *(("lite", case) for case in ("depth only", "dense", "nothing")),
        *((size, "one stage") for size in ("r18", "convnext_t")),
    ],
)
def test_export(tmp_path: Path, size: str, case: str) -> None:
    """Same contract and same numbers in ONNX Runtime, whatever the network is made of."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = KeypointFusion(_config(size, case)).eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("running_var"):
            tensor += 0.02 * torch.randn_like(tensor)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(export_onnx(network, tmp_path / "net.onnx", {})), options)
    assert tuple(item.name for item in session.get_inputs()) == INPUT_NAMES
    assert [item.shape for item in session.get_outputs()] == [[1, 21, 3], [1, 21], [1], [1]]
    inputs = example_inputs()
    inputs["depth"] = inputs["depth"] + 0.05 * torch.randn(inputs["depth"].shape)
    with torch.no_grad():
        expected = DeployedKeypointFusion(network)(**inputs)
    got = session.run(list(OUTPUT_NAMES), {name: value.numpy() for name, value in inputs.items()})
    for name, value, reference in zip(OUTPUT_NAMES, got, expected, strict=True):
        # Relative too: random weights may throw joints far away.
        assert (np.abs(value - reference.numpy()) / (1 + np.abs(reference.numpy()))).max() <= 1e-4, name
