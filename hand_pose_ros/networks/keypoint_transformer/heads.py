"""MLPs: from features to tokens, from tokens to identities, from queries to poses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_transformer.config import HANDS, KeypointTransformerConfig
from hand_pose_ros.networks.keypoint_transformer.queries import QueryLayout


class MLP(nn.Module):
    """Linear layers with ReLU between them, and behind the last where asked."""

    def __init__(self, widths: Sequence[int], last_relu: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.last_relu = last_relu

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The layers in their order."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, features: Tensor) -> Tensor:
        """(..., widths[0]) -> (..., widths[-1])."""
        for number, layer in enumerate(self.layers, start=1):
            features = layer(features)
            if number < len(self.layers) or self.last_relu:
                features = torch.relu(features)
        return features


class PoseHeads(nn.Module):
    """What is read off the queries; fields as in `KeypointTransformerOutput`."""

    def __init__(self, config: KeypointTransformerConfig, layout: QueryLayout) -> None:
        super().__init__()
        widths = config.network_widths
        authors = config.variant == "authors"
        self.representation, self.layout = config.representation, layout

        def head(outputs: int, wanted: bool = True) -> MLP | None:
            return MLP((widths.channels, widths.hidden, widths.hidden, outputs)) if wanted else None

        self.joint_vectors = head(3, config.representation == "3d")
        self.bins_x = head(config.map_size, config.representation == "2p5d")
        self.bins_y = head(config.map_size, config.representation == "2p5d")
        self.bins_depth = head(config.map_size, config.representation == "2p5d")
        self.pose = head(3, config.representation == "angles")
        # The published networks carry these two everywhere; they learn something only here.
        self.shape = head(10, authors or config.representation == "angles")
        self.camera = head(3, authors or config.representation != "2p5d")
        self.hand_translation = MLP((widths.channels, widths.hidden, widths.hidden, 3))
        self.object_rotation = head(6, config.objects)
        self.object_translation = head(3, config.objects)
        self.object_left_translation = head(3, config.left_object)
        self.object_corners = head(16, authors and config.objects)

    def forward(self, queries: Tensor) -> dict[str, Tensor | None]:
        """queries (L, B, Q, C)."""
        layout = self.layout
        hands = _by_hand(queries[:, :, : HANDS * layout.per_hand], layout.per_hand)
        shared = queries[:, :, layout.shape]
        rotation = queries[:, :, layout.rotation]
        place = queries[:, :, layout.translation]
        bins: Tensor | None = None
        if self.bins_x is not None and self.bins_y is not None and self.bins_depth is not None:
            bins = torch.stack((self.bins_x(hands), self.bins_y(hands), self.bins_depth(hands)), dim=2)
        corners = _read(self.object_corners, place)
        return {
            "joint_vectors": _read(self.joint_vectors, hands),
            "bins": bins,
            "pose": _read(self.pose, hands),
            "shape": _read(self.shape, shared),
            "hand_translation": self.hand_translation(shared),
            "camera": _read(self.camera, shared),
            "object_rotation": _read(self.object_rotation, rotation),
            "object_translation": _read(self.object_translation, place),
            "object_left_translation": _read(self.object_left_translation, place),
            "object_corners": None if corners is None else corners.reshape(*corners.shape[:2], 8, 2),
        }


def _by_hand(queries: Tensor, per_hand: int) -> Tensor:
    layers, batch, _, channels = queries.shape
    return queries.reshape(layers, batch, HANDS, per_hand, channels)


def _read(head: nn.Module | None, queries: Tensor) -> Tensor | None:
    return None if head is None else head(queries)
