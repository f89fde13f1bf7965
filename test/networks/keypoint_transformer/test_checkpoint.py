"""Published files of both generations load; others are refused with what differs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from keypoint_transformer_golden import published_keys  # noqa: E402

from hand_pose_ros.networks.keypoint_transformer import (  # noqa: E402
    KeypointTransformer,
    KeypointTransformerConfig,
    published,
)
from hand_pose_ros.networks.keypoint_transformer.checkpoint import (  # noqa: E402
    WrongCheckpoint,
    load_checkpoint,
    load_published_state,
    modern_name,
    published_name,
)

NETWORKS = {
    "ih_3d_r18_small_d1": KeypointTransformerConfig(size="r18", variant="authors"),
    "ih_angles_r18_small_d6": KeypointTransformerConfig(
        size="r18", variant="authors", representation="angles", cross_layers=6
    ),
    "ih_2p5d_r50_small_d1": published("interhand"),
    "ih_angles_r50_big_d6": published("interhand_mano"),
    "ho3d_3d_r50_big_d6": published("ho3d"),
    "h2o3d_3d_r50_small_d1": published("h2o3d"),
}
# Parameters that nothing reads: norm1 and linear_hand_type.
UNUSED = 2 * 992 + 256 * 256 + 256 + 3 * 256 + 3


@pytest.mark.parametrize("variant", sorted(NETWORKS))
def test_names_and_shapes(variant: str, golden_dir: Path) -> None:
    """Every published tensor has its place here, but for the two modules that nothing reads."""
    with torch.device("meta"):
        network = KeypointTransformer(NETWORKS[variant])
    ours = {published_name(name): tuple(value.shape) for name, value in network.state_dict().items()}
    theirs = {
        name: shape
        for name, shape in published_keys(golden_dir, variant).items()
        if not name.startswith(("norm1.", "linear_hand_type."))
    }
    assert ours == theirs


def test_parameter_count_of_r34() -> None:
    """The sheet's table; no golden keys exist of this size."""
    with torch.device("meta"):
        network = KeypointTransformer(KeypointTransformerConfig(size="r34", variant="authors", representation="angles"))
    assert sum(parameter.numel() for parameter in network.parameters()) == 38_051_972 - UNUSED


@pytest.fixture(scope="module")
def state(golden_dir: Path) -> dict[str, Any]:
    """Cheap weights of the smallest published-style network."""
    return {name: torch.full(shape, 0.5) for name, shape in published_keys(golden_dir, "ih_3d_r18_small_d1").items()}


@pytest.fixture(scope="module")
def network() -> KeypointTransformer:
    return KeypointTransformer(NETWORKS["ih_3d_r18_small_d1"])


@pytest.mark.parametrize("generation", ["new", "old", "bare"])
def test_file(network: KeypointTransformer, state: dict[str, Any], generation: str, tmp_path: Path) -> None:
    prefix = "" if generation == "bare" else "module."
    stored = {prefix + name: value for name, value in state.items()}
    if generation == "old":
        stored = {name.replace("decoder_net.resnet_decoder.", "decoder_net."): value for name, value in stored.items()}
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path / "snapshot.pth.tar"
    torch.save({"epoch": 3, "network": stored, "optimizer": {}, "lr_scheduler": {}}, path)
    load_checkpoint(network, path)
    assert all((parameter == 0.5).all() for parameter in network.parameters())


def test_old_names() -> None:
    assert modern_name("module.decoder_net.conv1.0.weight") == "decoder_net.resnet_decoder.conv1.0.weight"
    assert modern_name("module.decoder_net.resnet_decoder.conv1.0.bias") == "decoder_net.resnet_decoder.conv1.0.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop", "missing: query_embed.weight"),
        ("add", "unknown: fc.weight"),
        ("resize", r"of another shape: query_embed.weight \(43, 256\) for \(41, 256\)"),
    ],
)
def test_another_network(network: KeypointTransformer, state: dict[str, Any], change: str, message: str) -> None:
    given = dict(state)
    if change == "drop":
        del given["query_embed.weight"]
    if change == "add":
        given["fc.weight"] = torch.zeros(1)
    if change == "resize":
        given["query_embed.weight"] = torch.zeros(43, 256)
    with pytest.raises(WrongCheckpoint, match=message):
        load_published_state(network, given)


def test_another_representation_names_the_heads(network: KeypointTransformer, golden_dir: Path) -> None:
    given = {name: torch.zeros(shape) for name, shape in published_keys(golden_dir, "ih_angles_r18_small_d6").items()}
    with pytest.raises(WrongCheckpoint, match=r"missing: linear_joint_vecs.*unknown: linear_pose"):
        load_published_state(network, given)


def test_default_variant_is_refused() -> None:
    with torch.device("meta"):
        network = KeypointTransformer(KeypointTransformerConfig())
    with pytest.raises(WrongCheckpoint, match="variant='authors'"):
        load_published_state(network, {})


class _Harmful:
    """Unpickling it would call something."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return ast.literal_eval, ("1",)


@pytest.mark.parametrize(
    ("content", "message"),
    [({"model": {}}, "expected a dict with the key 'network'"), ([1], "got list"), (_Harmful(), "weights_only=True")],
)
def test_another_file(network: KeypointTransformer, content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth.tar")
    with pytest.raises(WrongCheckpoint, match=message):
        load_checkpoint(network, tmp_path / "other.pth.tar")


def test_no_torch_file(network: KeypointTransformer, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a checkpoint")
    with pytest.raises(WrongCheckpoint, match="weights_only=True"):
        load_checkpoint(network, path)
