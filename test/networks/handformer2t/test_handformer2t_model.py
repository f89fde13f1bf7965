"""Handformer2T against its fact sheet: sizes, drawn indices, patches, symmetry (section 14, points 1 to 3 and 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from handformer2t_toys import TINY_WIDTHS, tiny  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig  # noqa: E402
from hand_pose_ros.networks.handformer2t.features import keypoint_patches  # noqa: E402
from hand_pose_ros.networks.handformer2t.model import Refiner, TokenLayout  # noqa: E402

# Table 5, in millions: size, d.
PAPER = {
    ("r34", 128): 24.9,
    ("r34", 256): 31.7,
    ("r34", 512): 46.9,
    ("r50", 128): 29.1,
    ("r50", 256): 35.9,
    ("r50", 512): 51.1,
}
# Table 6, joint-level tokens of 256.
PAPER_JOINT = {"r34": 95.1, "r50": 99.4}
BACKBONES = {"r34": 21_284_672, "r50": 23_508_032}


def _parameters(config: Handformer2TConfig) -> int:
    with torch.device("meta"):
        network = Handformer2T(config)
    return sum(parameter.numel() for parameter in network.parameters())


def _formula(config: Handformer2TConfig) -> int:
    """Section 10 of the fact sheet, for hand tokens."""
    widths, d, stages = config.network_widths, config.channels, config.stages
    attention = 4 * (d * d + d) + 2 * d
    square = (d + 1) * d
    total = BACKBONES[config.size] + 2 * stages * d + config.layers * attention
    total += sum(2 * ((widths.lengths[i] + 1) * d + square) for i in range(stages))
    total += (stages - 1) * ((63 + 1) * d + square + 2 * attention)
    for i in range(1, stages):
        inputs = 9 * 21 * widths.patch_channels[i - 1] + widths.channels(i)
        total += 2 * ((inputs + 1) * d + square)
    return total + 2 * stages * (square + (d + 1) * 84)


@pytest.mark.parametrize(("size", "token_size"), sorted(PAPER))
def test_parameters_are_the_formulas_and_near_the_papers(size: Any, token_size: int) -> None:
    config = Handformer2TConfig(size=size, token_size=token_size)
    counted = _parameters(config)
    assert counted == _formula(config)
    assert abs(counted / 1e6 / PAPER[size, token_size] - 1) < 0.05


@pytest.mark.parametrize("size", sorted(PAPER_JOINT))
def test_joint_tokens_are_near_table_6(size: Any) -> None:
    assert abs(_parameters(Handformer2TConfig(size=size, tokens="joint")) / 1e6 / PAPER_JOINT[size] - 1) < 0.05


def test_the_two_optional_heads_are_small_and_lite_fits() -> None:
    for size, channels in (("r34", 256), ("lite", 96)):
        bare = _parameters(Handformer2TConfig(size=size))
        assert _parameters(Handformer2TConfig(size=size, presence=True)) - bare == 2 * (channels + 1)
        relative = _parameters(Handformer2TConfig(size=size, relative_depth=True)) - bare
        assert relative == (2 * channels + 1) * channels + channels + 1
    # 12 MB of float32.
    assert _parameters(Handformer2TConfig(presence=True, relative_depth=True)) < 2.97e6


@pytest.mark.parametrize("size", ["r34", "r50"])
def test_shapes_of_the_published_sizes(size: Any) -> None:
    torch.manual_seed(0)
    network = Handformer2T(Handformer2TConfig(size=size, token_size=128, stages=4)).eval()
    with torch.no_grad():
        output = network(torch.rand(1, 3, 256, 256))
    assert output.poses.shape == (4, 1, 2, 21, 3) and output.scales.shape == (4, 1, 2, 21)
    assert torch.isfinite(output.poses).all() and ((output.scales > 1e-3) & (output.scales < 1)).all()
    assert output.presence_logits is None and output.relative_depth is None


VARIANTS: list[dict[str, Any]] = [
    {"tokens": "joint", "presence": True, "relative_depth": True},
    {"stages": 1},
    {"maps": True, "order": "place", "presence": True},
    {"stages": 4, "presence": True, "relative_depth": True},
    {"keypoint_features": False, "delta": True},
    {"patch_sampling": "nearest", "patch_channels": "learned", "feature_norm": True, "residual": False},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_variant_learns_with_all_its_weights(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = Handformer2T(tiny(**changes))
    output = network(torch.rand(3, 3, 64, 64))
    assert output.poses.shape == (network.config.stages, 3, 2, 21, 3)
    given = [value for value in output if value is not None]
    sum((value * torch.randn_like(value)).sum() for value in given).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # The softmax does not see what is added to all scores.
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), name


def test_levels_give_vectors_of_the_configured_length() -> None:
    config = Handformer2TConfig(size="r50", stages=4)
    with torch.device("meta"):
        network = Handformer2T(config)
    for level, holder in enumerate((network.coarse, *network.refiners)):
        features = holder.tokens.features
        cells, channels = config.network_widths.cells(level), config.network_widths.channels(level)
        assert len(features.element_index) == config.elements(level)
        for index, total in ((features.whole_index, channels), (features.element_index, channels * cells**2)):
            values = index.tolist()
            assert values == sorted(set(values)) and values[0] >= 0 and values[-1] < total
            assert index.dtype == torch.int64
    assert [config.elements(level) for level in range(3)] == [256, 256, 256]


def test_feature_vector_is_means_whole_channels_elements() -> None:
    network = Handformer2T(tiny())
    features = network.refiners[0].tokens.features
    level = torch.randn(2, 16, 4, 4)
    vector, pooled = features(level)
    assert vector.shape == (2, TINY_WIDTHS.lengths[1])
    torch.testing.assert_close(pooled, level.mean(dim=(2, 3)))
    torch.testing.assert_close(vector[:, :16], pooled)
    torch.testing.assert_close(vector[:, 16:32], level[:, features.whole_index[0]].flatten(1))
    torch.testing.assert_close(vector[:, 32:], level.flatten(1)[:, features.element_index])


def test_indices_are_the_seeds_and_the_checkpoints() -> None:
    def indices(network: Handformer2T) -> dict[str, Any]:
        return {name: tensor for name, tensor in network.state_dict().items() if name.endswith("index")}

    one, same, other = (Handformer2T(tiny(seed=seed)) for seed in (5, 5, 6))
    assert len(indices(one)) == 3 * 2 + 2
    assert all(torch.equal(tensor, indices(same)[name]) for name, tensor in indices(one).items())
    assert not all(torch.equal(tensor, indices(other)[name]) for name, tensor in indices(one).items())
    other.load_state_dict(one.state_dict())
    assert all(torch.equal(tensor, indices(other)[name]) for name, tensor in indices(one).items())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(image).poses, one.eval()(image).poses)


def test_a_patch_is_centred_on_its_keypoint() -> None:
    size = 16
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    level = torch.stack((columns, rows)).float()[None]
    places = torch.tensor([[[0.0, 0.0], [0.21, -0.33], [-0.4, 0.4]]])
    patches = keypoint_patches(level, places)
    assert patches.shape == (1, 3, 2, 9)
    # A place of -0.5 is the outer edge of the first cell, whose middle has the value 0.
    middle = (places[0] + 0.5) * size - 0.5
    torch.testing.assert_close(patches[0, :, :, 4], middle, atol=1e-4, rtol=0)
    # Row by row: the cell before the middle lies to its left, the one three before above it.
    torch.testing.assert_close(patches[0, :, 0, 3], middle[:, 0] - 1, atol=1e-4, rtol=0)
    torch.testing.assert_close(patches[0, :, 1, 1], middle[:, 1] - 1, atol=1e-4, rtol=0)


def test_a_keypoint_far_outside_reads_the_border() -> None:
    level = torch.rand(1, 2, 8, 8, requires_grad=True)
    places = torch.tensor([[[-40.0, -40.0], [9.0, 9.0], [0.0, 1e4]]], requires_grad=True)
    patches = keypoint_patches(level, places)
    torch.testing.assert_close(patches[0, 0], level[0, :, 0, 0, None].expand(-1, 9))
    torch.testing.assert_close(patches[0, 1], level[0, :, -1, -1, None].expand(-1, 9))
    patches.sum().backward()
    assert level.grad is not None and torch.isfinite(level.grad).all()
    assert places.grad is not None and torch.isfinite(places.grad).all()


def test_patches_move_with_the_map() -> None:
    torch.manual_seed(0)
    level = torch.rand(1, 3, 16, 16)
    places = 0.5 * torch.rand(1, 10, 2) - 0.25
    moved = keypoint_patches(level.roll(1, dims=3), places + torch.tensor([1 / 16, 0.0]))
    torch.testing.assert_close(moved, keypoint_patches(level, places), atol=1e-5, rtol=0)


def test_each_hand_reads_its_own_joints() -> None:
    torch.manual_seed(0)
    config = tiny()
    refiner = Refiner(config, TokenLayout(config), 1)
    level, pose = torch.rand(1, 16, 4, 4), torch.rand(1, 2, 21, 3) - 0.5
    seen = refiner.keypoint_guided(level, level.mean(dim=(2, 3)), pose)
    assert seen.shape == (1, 2, 9 * 21 * 4 + 16)
    chosen = level[:, refiner.patch_channels.index]
    for hand, joint in ((0, 3), (1, 20)):
        patch = keypoint_patches(chosen, pose[:, hand, joint : joint + 1, :2])[0, 0]
        torch.testing.assert_close(seen[0, hand, 36 * joint : 36 * (joint + 1)], patch.flatten())


def test_no_gradient_leaves_a_refiner_through_the_pose_before() -> None:
    config = tiny(delta=True)
    refiner = Refiner(config, TokenLayout(config), 1)
    before = torch.zeros(1, 2, 21, 3, requires_grad=True)
    level = torch.rand(1, 16, 4, 4, requires_grad=True)
    refiner(level, before).pose.sum().backward()
    assert before.grad is None and level.grad is not None and level.grad.abs().sum() > 0


def test_swapped_weights_swap_the_hands() -> None:
    torch.manual_seed(0)
    network = Handformer2T(tiny(presence=True)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    image = torch.rand(2, 3, 64, 64)
    swapped = Handformer2T(network.config).eval()
    own = ("tokens.mlp", "tokens.places", "query_mlp", "head", "presence")
    state = {
        name: tensor.flip(0) if any(part in name for part in own) else tensor
        for name, tensor in network.state_dict().items()
    }
    swapped.load_state_dict(state)
    with torch.no_grad():
        expected, got = network(image), swapped(image)
    assert (expected.poses[:, :, 0] - expected.poses[:, :, 1]).abs().max() > 1e-3
    torch.testing.assert_close(got.poses, expected.poses.flip(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.scales, expected.scales.flip(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.presence_logits, expected.presence_logits.flip(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "r18"}, "size"),
        ({"tokens": "finger"}, "tokens"),
        ({"stages": 5}, "stages"),
        ({"token_size": 100}, "multiple of heads"),
        ({"widths": replace(TINY_WIDTHS, lengths=(20, 48, 96))}, "level 1"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Handformer2TConfig(**changes)


def test_another_image_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 3, 64, 64\)"):
        Handformer2T(tiny())(torch.rand(1, 3, 96, 96))
