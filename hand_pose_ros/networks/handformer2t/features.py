"""A level of the encoder as one vector of fixed length, and patches of it at keypoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.handformer2t.config import PatchSampling


def draw(count: int, total: int, seed: int) -> Tensor:
    """`count` different indices below `total`, sorted: the same for the same seed on every machine."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    chosen = torch.randperm(total, generator=generator, device="cpu")[:count]
    return chosen.sort().values


class LevelFeatures(nn.Module):
    """A map as a vector: channel means, some whole channels, and single elements (Eqs. 2-5).

    Channels and elements are drawn at random once and kept in the checkpoint: a trained network means nothing with
    others.

    Args:
        channels, cells: of the map (B, channels, cells, cells).
        whole: channels that are flattened whole.
        elements: single elements, drawn from the flattened map.
        seeds: of the two draws.
        norm: layer norm over the vector.
    """

    whole_index: Tensor
    element_index: Tensor

    def __init__(
        self, channels: int, cells: int, whole: int, elements: int, seeds: tuple[int, int], norm: bool
    ) -> None:
        super().__init__()
        self.register_buffer("whole_index", draw(whole, channels, seeds[0]))
        self.register_buffer("element_index", draw(elements, channels * cells**2, seeds[1]))
        self.norm = nn.LayerNorm(channels + whole * cells**2 + elements) if norm else None

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """level (B, C, h, w) -> the vector (B, c*) and its first part, the channel means (B, C)."""
        pooled = level.mean(dim=(2, 3))
        whole = level.index_select(1, self.whole_index).flatten(1)
        elements = level.flatten(1).index_select(1, self.element_index)
        vector = torch.cat((pooled, whole, elements), dim=1)
        return (vector if self.norm is None else self.norm(vector)), pooled


class RandomChannels(nn.Module):
    """A fixed random choice of a map's channels."""

    index: Tensor

    def __init__(self, channels: int, count: int, seed: int) -> None:
        super().__init__()
        if count > channels:
            raise ValueError(f"expected at most the map's {channels} channels for patches, got {count}")
        self.register_buffer("index", draw(count, channels, seed))

    def forward(self, level: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, count, h, w)."""
        return level.index_select(1, self.index)


def keypoint_patches(level: Tensor, places: Tensor, mode: PatchSampling = "bilinear") -> Tensor:
    """3x3 cells of a map about keypoints (figure 3).

    Args:
        level: (B, C, h, w).
        places: (B, K, 2) x, y, from -0.5 at the left or upper edge of the crop to 0.5 at the other.
        mode: "bilinear" with the middle cell exactly at the keypoint, or "nearest".

    Returns:
        (B, K, C, 9), cells row by row. Outside the map its border is repeated.
    """
    height, width = level.shape[2:]
    # Row by row, one cell apart: 2 is the whole side for `grid_sample`.
    cells = [(2 * x / width, 2 * y / height) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    offsets = torch.tensor(cells, device=places.device, dtype=places.dtype)
    grid = (2 * places[:, :, None] + offsets).to(level.dtype)
    sampled = functional.grid_sample(level, grid, mode=mode, padding_mode="border", align_corners=False)
    return sampled.transpose(1, 2)
