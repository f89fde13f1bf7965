"""Published state dicts and files: every key accounted for, both sizes, and wrong files refused by name."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig, load_checkpoint  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.authors import (  # noqa: E402
    AuthorsKeypointFusion,
    load_authors_state_dict,
    read_authors_checkpoint,
)
from hand_pose_ros.networks.keypoint_fusion.authors.names import is_dead, published_shapes  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.config import Size  # noqa: E402

State = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]
SIZES: tuple[Size, ...] = ("r18", "convnext_t")
# Fact sheet section 1: parameters stored, and those of them that influence no output.
COUNTS = {"r18": (46_257_338, 17_557_534), "convnext_t": (87_473_162, 20_349_230)}
# The published position tables have 512 rows, 21 of them used; there are four.
UNUSED_ROWS = 4 * (512 - 21) * 128


def empty(size: Size) -> AuthorsKeypointFusion:
    """The network without memory behind its parameters."""
    with torch.device("meta"):
        return AuthorsKeypointFusion(KeypointFusionConfig(size=size, variant="authors"))


def hollow(shapes: Shapes) -> State:
    """Tensors of these shapes that take no room, in memory or in a file, under the checkpoint's names."""
    return {f"module.{key}": torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def is_parameter(key: str) -> bool:
    return not key.endswith(("running_mean", "running_var", "num_batches_tracked", "position_ids"))


@pytest.mark.parametrize("size", SIZES)
def test_every_published_key_is_ours_or_dead(published_keys: dict[str, Shapes], size: Size) -> None:
    live = {key: shape for key, shape in published_keys[size].items() if not is_dead(key)}
    assert live == published_shapes(empty(size).state_dict())


@pytest.mark.parametrize("size", SIZES)
def test_parameter_counts(published_keys: dict[str, Shapes], size: Size) -> None:
    count = {key: math.prod(shape) for key, shape in published_keys[size].items() if is_parameter(key)}
    stored, dead = COUNTS[size]
    assert sum(count.values()) == stored
    assert sum(number for key, number in count.items() if is_dead(key)) == dead
    assert sum(p.numel() for p in empty(size).parameters()) == stored - dead - UNUSED_ROWS


@pytest.mark.parametrize(("size", "gigaflop"), [("r18", 4.13), ("convnext_t", 8.85 - 0.22)])
def test_operations_are_the_published_ones(size: Size, gigaflop: float) -> None:
    """The same counter on the published code (sheet section 1); it computes ConvNeXt's last residual module twice,
    0.22 GFLOP for nothing."""
    from torch.utils.flop_counter import FlopCounterMode

    shapes = ((1, 3, 128, 128), (1, 1, 128, 128), (1, 1024, 3), (1, 3), (1, 3, 3), (1, 3), (1, 4))
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        empty(size).eval()(*(torch.zeros(shape) for shape in shapes))
    assert counter.get_total_flops() / 1e9 == pytest.approx(gigaflop, rel=0.01)


def test_dead_parameters_are_those_listed(kpt_fusion_golden: Path, published_keys: dict[str, Shapes]) -> None:
    lines = (kpt_fusion_golden / "dead_params_r18.txt").read_text().splitlines()
    ours = {key for key in published_keys["r18"] if is_dead(key) and is_parameter(key)}
    assert ours == {line.split("\t")[0] for line in lines}


@pytest.mark.parametrize("size", SIZES)
def test_a_file_tells_its_backbone(published_keys: dict[str, Shapes], tmp_path: Path, size: Size) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": hollow(published_keys[size]), "optimizer": {}, "epoch": 3}, path)
    assert load_checkpoint(str(path)).config.size == size


def test_convnext_computes_with_published_tensors(published_keys: dict[str, Shapes], kpt_fusion_golden: Path) -> None:
    """No golden tensors of this size are at hand, so: random ones, the right rows in the right places, finite."""
    import numpy as np

    network = AuthorsKeypointFusion(KeypointFusionConfig(size="convnext_t", variant="authors")).eval()
    shapes = published_keys["convnext_t"]
    state = hollow({key: shape for key, shape in shapes.items() if is_dead(key)})
    for key, shape in shapes.items():
        if not is_dead(key):
            scale = math.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
            about_one = len(shape) == 1 and key.endswith((".weight", "running_var"))
            state[f"module.{key}"] = scale * torch.randn(shape) + float(about_one)
    load_authors_state_dict(network, state)
    packed = state["module.block2.crossTR.decoder.3.multihead_attn.in_proj_weight"]
    cross = network.stages[1].cross.attention
    assert torch.equal(torch.cat((cross.query.weight, cross.key.weight, cross.value.weight)), packed)
    table = state["module.block1.final_TR.bert.position_embeddings.weight"]
    assert torch.equal(network.stages[0].fused_joints.position, table[:21])
    assert torch.equal(
        network.depth_branch.encoder.stages[2][8].gamma, state["module.backbone_d.backbone.stages.2.8.gamma"]
    )
    with np.load(kpt_fusion_golden / "inputs_batch2.npz") as arrays, torch.no_grad():
        names = ("img_rgb", "img_depth", "pcl", "center", "M", "cube", "cam_para")
        output = network(*(torch.from_numpy(arrays[name]) for name in names))
    assert output.joints.shape == (2, 21, 3)
    assert output.depth_map.shape == output.rgb_map.shape == (2, 105, 32, 32)
    assert torch.isfinite(output.joints).all()
    assert (output.joints[0] - output.joints[1]).abs().max() > 1e-3


def test_result_embedding_keeps_the_published_statistics() -> None:
    """The published forward runs this module twice per step, and so moves its running statistics twice."""
    embed = empty("convnext_t").depth_branch.embed
    assert embed is not None
    once, twice = embed.bn1.momentum, 0.1 + 0.1 * (1 - 0.1)
    assert once == pytest.approx(twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop", r"missing \[block1.weight_dis\]; unknown \[\]"),
        ("add", r"unknown \[fc.weight\]"),
        ("resize", r"another shape \[block1.weight_dis \(2,\) for \(1,\)\]"),
        ("other size", r"not the published r18 network: missing \[.* and \d+ more; unknown \["),
    ],
)
def test_what_differs_is_listed(published_keys: dict[str, Shapes], change: str, message: str) -> None:
    state = hollow(published_keys["convnext_t" if change == "other size" else "r18"])
    if change == "drop":
        del state["module.block1.weight_dis"]
    if change == "add":
        state["module.fc.weight"] = torch.zeros(1)
    if change == "resize":
        state["module.block1.weight_dis"] = torch.zeros(2)
    with pytest.raises(ValueError, match=message):
        load_authors_state_dict(empty("r18"), state)


class Stranger:
    """Something that is no tensor."""


STRANGE: dict[str, Any] = {
    "a class of its own": {"model": {}, "config": SimpleNamespace(size="r18")},
    "no model": {"state_dict": {}, "global_step": 3},
    "no mapping": [1, 2],
    "no tensors": {"model": {"a": 1}},
    "another network": {"model": {"fc.weight": torch.zeros(1)}},
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a class of its own", "of tensors and plain containers only"),
        ("no model", r"the key 'model' holding a state dict, got \[global_step, state_dict\]"),
        ("no mapping", "got list"),
        ("no tensors", r"these are not: \[a\]"),
        ("another network", r"there is neither, but \[fc.weight\]"),
    ],
)
def test_wrong_checkpoints_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "wrong.pth"
    torch.save(STRANGE[content], path)
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint at all", b"PK\x03\x04 cut short", pickle.dumps(Stranger())]
)
def test_wrong_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a checkpoint that torch\.save wrote"):
        load_checkpoint(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "absent.pth")


def test_our_own_weights_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "ours.pth"
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in KeypointFusion(KeypointFusionConfig()).state_dict().items()}
    torch.save({"model": hollow(shapes)}, path)
    with pytest.raises(ValueError, match="expected a published Keypoint-Fusion state dict"):
        load_checkpoint(path)


def test_prefix_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "prefixed.pth"
    torch.save({"model": {"module.a": torch.zeros(1), "b": torch.zeros(1)}}, path)
    assert read_authors_checkpoint(path).keys() == {"a", "b"}
