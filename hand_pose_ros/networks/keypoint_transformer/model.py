"""Keypoint Transformer: peaks of one heat map become tokens; attention tells which joint each is, and the poses."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.backbones.pictures import picture_channels, with_relief
from hand_pose_ros.networks.backbones.resnet import ResNetEncoder
from hand_pose_ros.networks.handformer2t.depth_look import DepthLook
from hand_pose_ros.networks.handformer2t.maps import MapPrediction
from hand_pose_ros.networks.keypoint_transformer.attention import CrossAttention, SelfAttention
from hand_pose_ros.networks.keypoint_transformer.config import MAP_RANGE, KeypointTransformerConfig
from hand_pose_ros.networks.keypoint_transformer.heads import MLP, PoseHeads
from hand_pose_ros.networks.keypoint_transformer.output import KeypointTransformerOutput
from hand_pose_ros.networks.keypoint_transformer.peaks import (
    OBJECT,
    Keypoints,
    graph_keypoints,
    greedy_keypoints,
    position_code,
)
from hand_pose_ros.networks.keypoint_transformer.placed import TOLD, PlacedMaps, Told, place_maps
from hand_pose_ros.networks.keypoint_transformer.queries import query_layout
from hand_pose_ros.networks.keypoint_transformer.unet import ResidualDecoder, decoder_of


class ImageFeatures(NamedTuple):
    """features: decoder maps at strides 2 to 32; maps (B, 1 or 2, 128, 128) of 255; deepest (B, C, 8, 8) encoder's;
    placed: what the maps of joints say (`KeypointTransformerConfig.placed`); relief: as it was given."""

    features: tuple[Tensor, ...]
    maps: Tensor
    deepest: Tensor
    placed: MapPrediction | None = None
    relief: Tensor | None = None


class Pyramid(ResNetEncoder):
    """The encoder, called for all five of its maps."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """(B, 3, 256, 256) -> maps at strides 2, 4, 8, 16, 32."""
        return self.pyramid(image)


class KeypointTransformer(nn.Module):
    """Both variants; see `KeypointTransformerConfig`."""

    query_blocked: Tensor

    def __init__(self, config: KeypointTransformerConfig | None = None) -> None:
        super().__init__()
        self.config = KeypointTransformerConfig() if config is None else config
        config, widths = self.config, self.config.network_widths
        self.authors = config.variant == "authors"
        self.layout = query_layout(config)
        inputs = picture_channels(config.depth)
        self.backbone = Pyramid(
            inputs, widths.backbone, widths.blocks, widths.stem_kernel, widths.stem, widths.bottleneck
        )
        self.decoder = decoder_of(widths, config.objects)
        appearance = widths.channels - widths.position
        self.maps = place_maps(config) if config.placed else None
        self.placed = PlacedMaps(config) if config.placed else None
        self.hand_token = MLP(
            (sum(widths.maps) + (TOLD if config.placed else 0), *widths.token_hidden, appearance), last_relu=True
        )
        # Object tokens see the two coarsest maps only.
        self.object_token = (
            MLP((sum(widths.maps[-2:]), *widths.object_hidden, appearance), last_relu=True) if config.objects else None
        )
        shared = (widths.channels, widths.heads, widths.feed_forward, widths.dropout)
        self.self_attention = SelfAttention(config.self_layers, *shared)
        self.identity = MLP((widths.channels, *(widths.hidden,) * 3, config.identities))
        self.queries = nn.Embedding(self.layout.count, widths.channels)
        self.cross_attention = CrossAttention(config.cross_layers, *shared)
        self.heads = PoseHeads(config, self.layout)
        self.depth_look = DepthLook() if config.depth_look else None
        self.hand_type = MLP((widths.backbone[3], 512, 2)) if self.authors else None
        self.register_buffer("query_blocked", self.layout.blocked[None], persistent=False)
        _initialise(self)

    def forward(
        self, image: Tensor, keypoints: Keypoints | None = None, relief: Tensor | None = None
    ) -> KeypointTransformerOutput:
        """Hands and object of a batch of crops.

        Args:
            image: (B, 3, crop, crop) RGB in 0..1; crop is 256 unless configured.
            keypoints: used in place of the peaks, as in the first epochs of training.
            relief: (B, 2, crop, crop) of `geometry.relief`; read with `config.depth`, None: no depth is known.
        """
        seen = self.see(image, relief)
        if keypoints is None:
            search = greedy_keypoints if self.authors else graph_keypoints
            keypoints = search(seen.maps, self.config.hand_slots, self.config.object_slots, self.config.peaks)
        return self.understand(seen, keypoints)

    def see(self, image: Tensor, relief: Tensor | None = None) -> ImageFeatures:
        """The convolutional part: image (B, 3, 256, 256) and relief -> feature maps, heat map and segmentation."""
        if self.config.depth:
            image = with_relief(image, relief)
            image = image.contiguous(memory_format=torch.channels_last)
        pyramid = self.backbone(image)
        features, maps = self.decoder(pyramid)
        placed = None if self.maps is None else self.maps(features[1:2])
        return ImageFeatures(features, maps if self.authors else maps * MAP_RANGE, pyramid[4], placed, relief)

    def understand(self, seen: ImageFeatures, keypoints: Keypoints) -> KeypointTransformerOutput:
        """The transformer part: which joint each keypoint is, and the poses."""
        # Without any keypoint all slots are looked at: they are alike, and nothing is undefined.
        empty = keypoints.valid.sum(dim=1, keepdim=True) == 0
        blocked = ~(keypoints.valid | empty)[:, None]
        told = None if self.placed is None else self.placed(seen.placed, seen.features, keypoints.xy, seen.relief)
        memory, read = self.self_attention(self.tokens(seen.features, keypoints, told), blocked)
        memory_blocked = self._memory_blocked(blocked, keypoints)
        queries = self.queries.weight[None] if told is None else self.queries.weight + told.queries
        answers, attention = self.cross_attention(queries, memory, self.query_blocked, memory_blocked)
        identity = self.identity(read)
        hand_type = None if self.hand_type is None else self.hand_type(seen.deepest.mean(dim=(2, 3)))
        heads = cast("dict[str, Any]", self.heads(answers))
        return KeypointTransformerOutput(
            maps=seen.maps,
            keypoints=keypoints,
            identity_logits=identity if told is None else identity + told.identity,
            attention=attention,
            side_logits=None if told is None else told.side_logits,
            pair_logits=None if told is None else told.pair_logits,
            places=None if told is None else told.places,
            hand_type_logits=hand_type,
            **heads,
        )

    def tokens(self, features: tuple[Tensor, ...], keypoints: Keypoints, told: Told | None = None) -> Tensor:
        """Appearance and place of each keypoint (B, K, C)."""
        sampled = self.sample(features, keypoints.xy)
        appearance = self.hand_token(sampled if told is None else torch.cat((sampled, told.tokens), dim=2))
        if self.object_token is not None:
            coarse = sum(self.config.network_widths.maps[-2:])
            objects = self.object_token(sampled[..., -coarse:])
            appearance = torch.where((keypoints.kind == OBJECT)[..., None], objects, appearance)
        code = position_code(keypoints.xy, self.config.network_widths.position, self.config.map_size)
        return torch.cat((appearance, code), dim=2)

    def sample(self, features: tuple[Tensor, ...], xy: Tensor) -> Tensor:
        """The five maps at the keypoints (B, K, 2), finest first: (B, K, sum of channels)."""
        half = self.config.map_size / 2
        # Ours: a pixel's centre is at a half, the same place in every map whatever its stride.
        grid = (xy - (half - 0.5)) / (half - 0.5) if self.authors else (xy + 0.5) / half - 1
        padding = "zeros" if self.authors else "border"
        parts = [
            functional.grid_sample(
                level, grid[:, :, None], mode="bilinear", padding_mode=padding, align_corners=self.authors
            )
            for level in features
        ]
        return torch.cat(parts, dim=1)[..., 0].transpose(1, 2)

    def _memory_blocked(self, blocked: Tensor, keypoints: Keypoints) -> Tensor:
        """(B, Q, K): the rotation query looks at the object's tokens only, if there are any; Q = 1 without object."""
        if not self.config.objects:
            return blocked
        other = (keypoints.kind != OBJECT)[:, None]
        none = (~other).sum(dim=2, keepdim=True) == 0
        rotation = blocked | (other & ~none)
        before, after = self.layout.rotation, self.layout.count - self.layout.rotation - 1
        return torch.cat((*(blocked,) * before, rotation, *(blocked,) * after), dim=1)


def _initialise(network: KeypointTransformer) -> None:
    """Fact sheet section 7, without the ImageNet weights (the caller loads those)."""
    for module in network.decoder.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if isinstance(network.decoder, ResidualDecoder):
        for module in network.decoder.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for part in (network.self_attention, network.cross_attention):
        for parameter in part.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
    if not network.authors:
        _initialise_mlps(network)


def _initialise_mlps(network: KeypointTransformer) -> None:
    """So that a token's appearance is as large as its position code from the first step on, and answers begin near zero
    (torch's own values make the one a tenth of the other, and joints of 10 cm); the rotation begins as the identity."""
    heads = [head for head in network.heads.children() if isinstance(head, MLP)]
    tokens = [token for token in (network.hand_token, network.object_token) if token is not None]
    placed = () if network.placed is None else network.placed.mlps
    for mlp in (*tokens, *placed, network.identity, *heads):
        for layer in mlp.linear_layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    for mlp in (network.identity, *heads):
        nn.init.normal_(mlp.linear_layers[-1].weight, std=0.01)
    if network.heads.object_rotation is not None:
        with torch.no_grad():
            network.heads.object_rotation.linear_layers[-1].bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
