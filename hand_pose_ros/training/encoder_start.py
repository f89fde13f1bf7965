"""An encoder that begins as one that has learnt to see hands already.

Handformer2T's variant and Keypoint Transformer's small network have the same encoder and decoder: what one has learnt
the other takes over whole. Keypoint-Fusion's encoder, of one hand's crops, is smaller. It stands inside the larger one:
its channels come first and read nothing of the others, whose weights stay random, and blocks that it does not have
begin as the identity. So what it sees is seen from the first step on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.backbones.resnet import BasicBlock, ResNetEncoder
from hand_pose_ros.networks.handformer2t.model import DEVIATION, MEAN
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer
from hand_pose_ros.training.errors import TrainingError

COLOR_ENCODER: Final = "rgb_branch.encoder."
_SEEING: Final = ("backbone.", "decoder.")
_MAPS: Final = ("maps.",)
_STEM: Final = "backbone.conv1.weight"


@torch.no_grad()
def begin_encoder(
    encoder: ResNetEncoder, weights: Mapping[str, Tensor], mean: Tensor, deviation: Tensor, pictures: Tensor
) -> None:
    """Put the colour encoder of Keypoint-Fusion weights into `encoder` (basic blocks, at least as wide and deep).

    Args:
        encoder: reads colours less `mean` over `deviation` (3, 1, 1), where the other reads colours 0..1.
        weights: of `models/weights/kpt_fusion_*.pt`.
        mean, deviation: of the colours.
        pictures: (B, 3, S, S) in 0..1, some of those to be learnt from.

    Raises:
        TrainingError: there is no such encoder in the weights, or it does not fit into this one.
    """
    small = {name.removeprefix(COLOR_ENCODER): w for name, w in weights.items() if name.startswith(COLOR_ENCODER)}
    own = encoder.state_dict()
    if not small or set(small) - set(own) or not all(isinstance(g[0], BasicBlock) for g in _groups(encoder)):
        raise TrainingError(
            "encoder: expected weights of a Keypoint-Fusion network whose colour encoder fits into this"
        )
    if small["conv1.weight"].shape != own["conv1.weight"].shape:
        raise TrainingError(
            f"encoder: expected a stem {tuple(own['conv1.weight'].shape)}, got {tuple(small['conv1.weight'].shape)}"
        )
    for name, value in small.items():
        _embed(own[name], value, name)
    stem = small["conv1.weight"]
    own["conv1.weight"].copy_(stem * deviation[None])
    own["bn1.running_mean"].sub_((stem.sum(dim=(2, 3)) * mean.reshape(1, 3)).sum(dim=1))
    for block in _new_blocks(encoder, small):
        nn.init.zeros_(block.bn2.weight)
    _begin_shortcut(encoder, small, (pictures - mean) / deviation)


@torch.no_grad()
def take_over(network: nn.Module, weights: Mapping[str, Tensor], parts: tuple[str, ...]) -> None:
    """Put the parts of Handformer2T weights whose names begin so into a network.

    Raises:
        TrainingError: these parts are others there; the text lists what differs.
    """
    own = {name: value for name, value in network.state_dict().items() if name.startswith(parts)}
    other = {name: value for name, value in weights.items() if name.startswith(parts)}
    different = own.keys() ^ other.keys()
    different |= {name for name in own.keys() & other.keys() if not _fits(name, own[name].shape, other[name].shape)}
    if different:
        some = ", ".join(sorted(different)[:5])
        raise TrainingError(f"encoder: expected a Handformer2T with the same encoder and decoder, these differ: {some}")
    for name, value in own.items():
        if name == _STEM:
            value.zero_()
            value[:, : other[name].shape[1]] = other[name]
        else:
            value.copy_(other[name])


def _fits(name: str, own: torch.Size, other: torch.Size) -> bool:
    """Weights of colour alone begin a network that reads depth too, and is told nothing by it at first."""
    if name != _STEM or len(other) != len(own):
        return own == other
    return (own[0], *own[2:]) == (other[0], *other[2:]) and other[1] <= own[1]


@torch.no_grad()
def begin_as_handformer2t(network: KeypointTransformer, weights: Mapping[str, Tensor]) -> None:
    """Put encoder and decoder of Handformer2T weights (with a `decoder`) into a Keypoint Transformer that has the same,
    and the maps into one that is `placed`.

    Handformer2T's colours are normalised, Keypoint Transformer's are not: the first layer takes that over, and is the
    same but for the picture's border.

    Raises:
        TrainingError: these parts are others there; the text lists what differs.
    """
    maps = _MAPS if network.config.placed else ()
    begun = {
        name.replace("decoder.", "decoder.blocks.", 1) if name.startswith("decoder.") else name: w
        for name, w in weights.items()
        if name.startswith((*_SEEING, *maps))
    }
    take_over(network, begun, ("backbone.", "decoder.blocks.", *maps))
    stem, norm = network.backbone.conv1.weight[:, : len(MEAN)], network.backbone.bn1
    stem.div_(torch.tensor(DEVIATION, dtype=stem.dtype)[None, :, None, None])
    shift = (stem.sum(dim=(2, 3)) * torch.tensor(MEAN, dtype=stem.dtype)).sum(dim=1)
    cast(Tensor, norm.running_mean).add_(shift)


def _groups(encoder: ResNetEncoder) -> tuple[nn.Sequential, ...]:
    return encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4


def _new_blocks(encoder: ResNetEncoder, small: Mapping[str, Tensor]) -> list[BasicBlock]:
    """Those that the small encoder does not have."""
    return [
        block
        for number, group in enumerate(_groups(encoder), start=1)
        for place, block in enumerate(group)
        if isinstance(block, BasicBlock) and f"layer{number}.{place}.conv1.weight" not in small
    ]


def _embed(larger: Tensor, smaller: Tensor, name: str) -> None:
    """Into the first channels; further inputs of theirs weigh nothing."""
    if any(a < b for a, b in zip(larger.shape, smaller.shape, strict=True)):
        raise TrainingError(f"encoder: {name} {tuple(smaller.shape)} does not fit into {tuple(larger.shape)}")
    if larger.ndim > 1:
        larger[: smaller.shape[0]] = 0
    larger[tuple(slice(0, size) for size in smaller.shape)] = smaller


def _begin_shortcut(encoder: ResNetEncoder, small: Mapping[str, Tensor], images: Tensor) -> None:
    """Where the first group got a shortcut with weights by being wider, its first channels begin as the identity."""
    shortcut = cast(BasicBlock, encoder.layer1[0]).downsample
    if not isinstance(shortcut, nn.Sequential) or "layer1.0.downsample.0.weight" in small:
        return
    convolution, norm = cast(nn.Conv2d, shortcut[0]), cast(nn.BatchNorm2d, shortcut[1])
    count = len(small["conv1.weight"])
    convolution.weight[:count] = 0
    for channel in range(count):
        convolution.weight[channel, channel] = 1
    stem = encoder.conv1(images)
    normal = torch.nn.functional.batch_norm(stem, None, None, encoder.bn1.weight, encoder.bn1.bias, training=True)
    seen = encoder.maxpool(torch.relu(normal))
    average, variance = seen.mean(dim=(0, 2, 3)), seen.var(dim=(0, 2, 3))
    cast(Tensor, norm.running_mean)[:count] = average
    cast(Tensor, norm.running_var)[:count] = variance
    norm.weight[:count], norm.bias[:count] = (variance + norm.eps).sqrt(), average
