"""How often the graph's peak search differs from the published greedy one, and what that does to the result."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer.config import PeakSettings
from hand_pose_ros.networks.keypoint_transformer.decode import decode
from hand_pose_ros.networks.keypoint_transformer.model import KeypointTransformer
from hand_pose_ros.networks.keypoint_transformer.peaks import Keypoints, graph_keypoints, greedy_keypoints

# What is compared of a result; the units are those of `Decoded`.
_COMPARED = (
    "joints",
    "uv",
    "depth",
    "pose",
    "shape",
    "hand_translation",
    "presence",
    "object_rotation",
    "object_translation",
    "object_presence",
)


class PeakDifference(NamedTuple):
    """Counts over a batch: samples, samples whose sets of keypoints differ, keypoints of the greedy search, keypoints
    that only the greedy search has, keypoints that only the graph has."""

    samples: int
    differing: int
    peaks: int
    only_greedy: int
    only_graph: int


class Shift(NamedTuple):
    """Absolute difference of one field of the results: mean, and largest of any element."""

    mean: float
    largest: float


def compare_peaks(
    maps: Tensor, hand_slots: int, object_slots: int = 0, settings: PeakSettings | None = None
) -> PeakDifference:
    """Both searches on maps (B, 1 or 2, 128, 128) of 255; the order of slots does not count."""
    settings = PeakSettings() if settings is None else settings
    greedy = _sets(greedy_keypoints(maps, hand_slots, object_slots, settings))
    graph = _sets(graph_keypoints(maps, hand_slots, object_slots, settings))
    pairs = list(zip(greedy, graph, strict=True))
    return PeakDifference(
        samples=len(pairs),
        differing=sum(a != b for a, b in pairs),
        peaks=sum(map(len, greedy)),
        only_greedy=sum(len(a - b) for a, b in pairs),
        only_graph=sum(len(b - a) for a, b in pairs),
    )


@torch.no_grad()
def compare_results(
    network: KeypointTransformer, image: Tensor, settings: PeakSettings | None = None
) -> tuple[PeakDifference, dict[str, Shift]]:
    """Both searches on a network's own maps of images (B, 3, 256, 256), and how far its results move, by field.

    Args:
        network: in eval mode (with dropout the results would differ anyway).
        image: RGB in 0..1.
        settings: of the graph's search, such as other rounds; the network's own unless given.
    """
    config = network.config
    settings = config.peaks if settings is None else settings
    seen = network.see(image)
    results = []
    for search in (greedy_keypoints, graph_keypoints):
        keypoints = search(seen.maps, config.hand_slots, config.object_slots, settings)
        results.append(decode(network.understand(seen, keypoints), config.variant == "authors"))
    shifts: dict[str, Shift] = {}
    for name in _COMPARED:
        first, second = (getattr(result, name) for result in results)
        if first is not None and second is not None:
            difference = (first - second).abs()
            shifts[name] = Shift(float(difference.mean()), float(difference.max()))
    return compare_peaks(seen.maps, config.hand_slots, config.object_slots, settings), shifts


def _sets(keypoints: Keypoints) -> list[set[tuple[int, int, int]]]:
    """Per sample the keypoints as (kind, x, y)."""
    rows = torch.cat((keypoints.kind[..., None], keypoints.xy.to(torch.int64)), dim=2)
    found: list[set[tuple[int, int, int]]] = []
    for row, valid in zip(rows, keypoints.valid, strict=True):
        found.append({(int(kind), int(x), int(y)) for kind, x, y in row[valid].tolist()})
    return found
