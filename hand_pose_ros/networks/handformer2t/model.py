"""Handformer2T: a token per hand, a coarse pose, and refinement by what is seen at its joints (WACV 2024)."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.backbones.decoder import MapDecoder
from hand_pose_ros.networks.backbones.pictures import with_relief
from hand_pose_ros.networks.backbones.resnet import ResNetEncoder
from hand_pose_ros.networks.handformer2t.closer import CloserLook, wrist_gap
from hand_pose_ros.networks.handformer2t.config import HANDS, PATCH, SCALE_FLOOR, Handformer2TConfig
from hand_pose_ros.networks.handformer2t.decode import side_evidence
from hand_pose_ros.networks.handformer2t.depth_look import DepthLook
from hand_pose_ros.networks.handformer2t.features import LevelFeatures, RandomChannels, keypoint_patches
from hand_pose_ros.networks.handformer2t.layers import Attention, TokenLinear, TokenMLP
from hand_pose_ros.networks.handformer2t.maps import DECODED_STRIDE, STRIDE, MapPose, MapPrediction, turn
from hand_pose_ros.networks.handformer2t.output import Handformer2TOutput
from hand_pose_ros.skeleton import NUM_JOINTS

# Colours as ImageNet's weights expect them.
MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)
# Seeds of the draws of one level lie this far apart.
_DRAW: Final = 1000
_FACING_GAIN: Final = 4.0


class Prediction(NamedTuple):
    """pose (B, 2, 21, 3) and scale (B, 2, 21) of one stage, and the tokens (B, T, d) they are read from."""

    pose: Tensor
    scale: Tensor
    tokens: Tensor


class TokenLayout:
    """How joints are dealt to tokens: `tokens` in all, `joints` each; `separate` weight sets where hands differ.

    Hand tokens have their own query MLPs and heads (paper); joint tokens share theirs, which is what Table 6's
    parameters leave room for (fact sheet section 10).
    """

    def __init__(self, config: Handformer2TConfig) -> None:
        hand = config.tokens == "hand"
        self.tokens = HANDS if hand else HANDS * NUM_JOINTS
        self.joints = NUM_JOINTS if hand else 1
        self.separate = HANDS if hand else 1


class PoseHead(nn.Module):
    """Pose and scale from tokens (Eq. 12)."""

    def __init__(self, layout: TokenLayout, channels: int) -> None:
        super().__init__()
        self.joints = layout.joints
        self.mlp = TokenMLP(layout.separate, channels, channels, 4 * layout.joints)
        # Near zero at first, as in residual log-likelihood estimation.
        for weight in self.mlp.second.weight:
            nn.init.xavier_uniform_(weight, gain=0.01)
        nn.init.zeros_(self.mlp.second.bias)

    def forward(self, tokens: Tensor) -> Prediction:
        """tokens (B, T, d)."""
        numbers = self.mlp(tokens)
        batch = tokens.shape[0]
        pose = numbers[..., : 3 * self.joints].reshape(batch, HANDS, NUM_JOINTS, 3)
        score = numbers[..., 3 * self.joints :].reshape(batch, HANDS, NUM_JOINTS)
        return Prediction(pose, SCALE_FLOOR + (1 - SCALE_FLOOR) * torch.sigmoid(score), tokens)


class LevelTokens(nn.Module):
    """Tokens of one level (Eqs. 2-6): its vector through an MLP per token, and learned places."""

    def __init__(self, config: Handformer2TConfig, layout: TokenLayout, level: int) -> None:
        super().__init__()
        widths, channels = config.network_widths, config.channels
        self.features = LevelFeatures(
            widths.channels(level),
            widths.cells(level),
            widths.whole_channels[level],
            config.elements(level),
            (config.seed + level, config.seed + _DRAW + level),
            config.feature_norm,
        )
        self.mlp = TokenMLP(layout.tokens, widths.lengths[level], channels, channels)
        self.places = nn.Parameter(torch.empty(layout.tokens, channels).normal_(0, 0.02))

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """level (B, C, h, w) -> tokens with their places (B, T, d), channel means (B, C)."""
        vector, pooled = self.features(level)
        return self.mlp(vector[:, None]) + self.places, pooled


class CoarsePredictor(nn.Module):
    """Self-attention among the deepest level's tokens, then a pose (Eqs. 8-12).

    With `config.maps` the tokens are told the pose that the maps expect, and correct it.
    """

    def __init__(self, config: Handformer2TConfig, layout: TokenLayout) -> None:
        super().__init__()
        self.layout = layout
        self.tokens = LevelTokens(config, layout, 0)
        self.pose_mlp = TokenMLP(1, 3 * layout.joints, config.channels, config.channels) if config.maps else None
        self.attention = nn.ModuleList(
            Attention(config.channels, config.heads, config.residual) for _ in range(config.layers)
        )
        self.head = PoseHead(layout, config.channels)

    def forward(self, level: Tensor, expected: Tensor | None = None) -> Prediction:
        """level (B, C, h, w), the deepest; expected (B, 2, 21, 3), the maps' pose, read without gradients."""
        tokens, _ = self.tokens(level)
        if self.pose_mlp is not None and expected is not None:
            expected = expected.detach()
            tokens = tokens + self.pose_mlp(expected.reshape(-1, self.layout.tokens, 3 * self.layout.joints))
        for layer in self.attention:
            tokens = layer(tokens, tokens)
        prediction: Prediction = self.head(tokens)
        return prediction if expected is None else prediction._replace(pose=expected + prediction.pose)


class Refiner(nn.Module):
    """A shallower level's tokens, told the pose so far, and asked by what is seen at its joints (Eqs. 13-17)."""

    def __init__(self, config: Handformer2TConfig, layout: TokenLayout, level: int) -> None:
        super().__init__()
        widths, channels = config.network_widths, config.channels
        self.layout, self.delta, self.sampling = layout, config.delta, config.patch_sampling
        self.keypoint_features = config.keypoint_features
        self.tokens = LevelTokens(config, layout, level)
        seen, inputs = widths.patch_channels[level - 1], widths.channels(level)
        self.patch_channels = self._patch_channels(config, inputs, seen, level) if config.keypoint_features else None
        self.pose_mlp = TokenMLP(1, 3 * layout.joints, channels, channels)
        self.enhancer = Attention(channels, config.heads, config.residual)
        patches = PATCH * layout.joints * seen if config.keypoint_features else 0
        self.query_mlp = TokenMLP(layout.separate, patches + inputs, channels, channels)
        self.fusion = Attention(channels, config.heads, config.residual)
        self.head = PoseHead(layout, channels)

    @staticmethod
    def _patch_channels(config: Handformer2TConfig, inputs: int, seen: int, level: int) -> nn.Module:
        if config.patch_channels == "learned":
            return nn.Conv2d(inputs, seen, 1)
        return RandomChannels(inputs, seen, config.seed + 2 * _DRAW + level)

    def forward(self, level: Tensor, before: Tensor) -> Prediction:
        """level (B, C, h, w); before (B, 2, 21, 3), the pose of the stage before, read without gradients."""
        before = before.detach()
        tokens, pooled = self.tokens(level)
        tokens = tokens + self.pose_mlp(before.reshape(-1, self.layout.tokens, 3 * self.layout.joints))
        tokens = self.enhancer(tokens, tokens)
        queries = self.query_mlp(self.keypoint_guided(level, pooled, before))
        prediction: Prediction = self.head(self.fusion(queries, tokens))
        return prediction._replace(pose=before + prediction.pose) if self.delta else prediction

    def keypoint_guided(self, level: Tensor, pooled: Tensor, pose: Tensor) -> Tensor:
        """Patches of each token's joints (joint, channel, cell) and channel means: (B, T, inputs of the query MLP)."""
        everywhere = torch.cat((pooled[:, None],) * self.layout.tokens, dim=1)
        if self.patch_channels is None:
            return everywhere
        places = pose.reshape(pose.shape[0], HANDS * NUM_JOINTS, 3)[..., :2]
        patches = keypoint_patches(self.patch_channels(level), places, self.sampling)
        return torch.cat((patches.reshape(patches.shape[0], self.layout.tokens, -1), everywhere), dim=2)


class Handformer2T(nn.Module):
    """See `Handformer2TConfig`. Flows are the loss's, not the network's."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: Handformer2TConfig | None = None) -> None:
        super().__init__()
        self.config = Handformer2TConfig() if config is None else config
        config, widths = self.config, self.config.network_widths
        layout = TokenLayout(config)
        self.backbone = ResNetEncoder(
            config.picture_channels,
            widths.backbone,
            widths.blocks,
            widths.stem_kernel,
            widths.stem,
            widths.bottleneck,
        )
        self.decoder = None if widths.decoder is None else MapDecoder(widths.backbone, widths.decoder)
        for module in (*self.backbone.modules(), *(() if self.decoder is None else self.decoder.modules())):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.maps = _map_pose(config) if config.maps else None
        self.coarse = CoarsePredictor(config, layout)
        self.refiners = nn.ModuleList(Refiner(config, layout, level) for level in range(1, config.stages))
        self.presence = TokenLinear(HANDS, config.channels, 1) if config.presence else None
        self.side = TokenMLP(1, config.channels, config.channels, 1) if config.order == "place" else None
        # Of `facing` times the joints' turn, in the logits of sides.
        self.facing_gain = nn.Parameter(torch.tensor(_FACING_GAIN)) if config.maps and self.side is not None else None
        pair = HANDS * config.channels
        self.relative_depth = TokenMLP(1, pair, config.channels, 1) if config.relative_depth else None
        self.closer = CloserLook(config) if config.closer else None
        self.depth_look = DepthLook() if config.depth_look else None
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, image: Tensor, relief: Tensor | None = None, view: Tensor | None = None) -> Handformer2TOutput:
        """Both hands of a batch of crops.

        Args:
            image: (B, 3, S, S) RGB in 0..1; S is `config.picture`, 256 as published.
            relief: (B, 2, S, S) of `geometry.relief`; read with `config.depth`, None: no depth is known.
            view: (B, 2) of `geometry.relief.view_of`; read with `config.depth_look`, None: no depth is known.

        Raises:
            ValueError: the image has another size: the drawn elements would be others.
        """
        seen = self.seen(image, relief)
        output = self.read(self._levels(seen))
        # Closer looks learn by themselves, through windows about the truth: what comes before them need not wait.
        if self.training or (self.closer is None and self.depth_look is None):
            return output
        return self._look_again(seen, output, view)

    def seen(self, image: Tensor, relief: Tensor | None = None) -> Tensor:
        """What the encoder reads, (B, C, S, S). Raises `ValueError`, see `forward`."""
        self._check_size(image)
        seen = (image - self.mean) / self.deviation
        return with_relief(seen, relief) if self.config.depth else seen

    def levels(self, image: Tensor, relief: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps of strides 4, 8, 16 and 32, the encoder's, or but for the last the decoder's. Raises `ValueError`, see
        `forward`."""
        return self._levels(self.seen(image, relief))

    def _levels(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self.config.closer:
            seen = functional.avg_pool2d(seen, 2)
        levels: tuple[Tensor, Tensor, Tensor, Tensor] = self.backbone(
            seen.contiguous(memory_format=torch.channels_last)
        )
        return levels if self.decoder is None else (*self.decoder(*levels), levels[3])

    def expect(self, levels: tuple[Tensor, Tensor, Tensor, Tensor]) -> MapPrediction | None:
        """What the maps of `levels` expect; None without `config.maps`."""
        if self.maps is None:
            return None
        expected: MapPrediction = self.maps(levels[1:] if self.decoder is None else levels[:1])
        return expected

    def read(self, levels: tuple[Tensor, Tensor, Tensor, Tensor]) -> Handformer2TOutput:
        """Both hands from `levels`."""
        maps = self.expect(levels)
        stages: list[Prediction] = [self.coarse(levels[3], None if maps is None else maps.pose)]
        for index, refiner in enumerate(self.refiners, start=1):
            stages.append(refiner(levels[3 - index], stages[-1].pose))
        presence, relative_depth, side = self._hands(stages[-1].tokens)
        if side is not None and maps is not None and self.facing_gain is not None:
            side = side + self.facing_gain * maps.facing * turn(stages[-1].pose.detach())
        return Handformer2TOutput(
            poses=torch.stack([stage.pose for stage in stages]),
            scales=torch.stack([stage.scale for stage in stages]),
            presence_logits=presence,
            relative_depth=relative_depth,
            side_logits=side,
            map_pose=None if maps is None else maps.pose,
            map_logits=None if maps is None else maps.logits,
            facing=None if maps is None else maps.facing,
            map_depths=None if maps is None else maps.depths,
            map_palms=None if maps is None else maps.palms,
        )

    def _look_again(self, seen: Tensor, output: Handformer2TOutput, view: Tensor | None) -> Handformer2TOutput:
        """One stage more: closer looks at each hand as a right and as a left one, where there is depth, by that too.
        Which of the two counts, is told by both hands together, as `decode.by_side` deals them."""
        before, scale = output.poses[-1].detach(), output.scales[-1]
        poses, scales = torch.stack((before, before), dim=2), torch.stack((scale, scale), dim=2)
        sides, deep = cast(Tensor, output.side_logits), None
        if self.closer is not None:
            poses, scales, sides = self.closer(seen, before)
        if self.depth_look is not None:
            deep = self.depth_look(seen, seen.new_zeros(seen.shape[0], 2) if view is None else view, poses, scales)
            poses, scales = deep.blended(poses, scales)
            sides = sides + deep.known * deep.sides
        first_right = side_evidence(torch.sigmoid(cast(Tensor, output.presence_logits)), sides) >= 0
        right = torch.cat((first_right, ~first_right), dim=1)
        pose = torch.where(right[..., None, None], poses[:, :, 0], poses[:, :, 1])
        relative = output.relative_depth
        if relative is not None and self.config.depth:
            relative = _told_by_depth(seen, pose, relative)
        if relative is not None and deep is not None:
            wrists = torch.where(right, deep.wrists[..., 0], deep.wrists[..., 1])
            relative = torch.where(deep.known.all(dim=1), wrists[:, 1] - wrists[:, 0], relative)
        return output._replace(
            relative_depth=relative,
            poses=torch.cat((output.poses, pose[None])),
            scales=torch.cat((output.scales, torch.where(right[..., None], scales[:, :, 0], scales[:, :, 1])[None])),
            side_logits=sides,
        )

    def _hands(self, tokens: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Presence, relative depth and sides from the last stage's tokens, a mean per hand where there are several."""
        hands = tokens.reshape(tokens.shape[0], HANDS, -1, tokens.shape[2]).mean(dim=2)
        presence = None if self.presence is None else self.presence(hands)[..., 0]
        relative = None if self.relative_depth is None else self.relative_depth(hands.flatten(1)[:, None])[:, 0, 0]
        side = None if self.side is None else self.side(hands)[..., 0]
        return presence, relative, side

    def _check_size(self, image: Tensor) -> None:
        side = self.config.picture
        # While it is exported sizes are tensors, and the example's are right.
        if not torch.onnx.is_in_onnx_export() and tuple(image.shape[1:]) != (3, side, side):
            raise ValueError(f"image: expected (B, 3, {side}, {side}), got {tuple(image.shape)}; crop it to that size")


def _told_by_depth(seen: Tensor, pose: Tensor, relative: Tensor) -> Tensor:
    """Relative depth (B,) as the depth image says, where it has readings of both hands."""
    measured, known = wrist_gap(seen, pose)
    return torch.where(known, measured, relative)


def _map_pose(config: Handformer2TConfig) -> MapPose:
    widths = config.network_widths
    if widths.decoder is None:
        return MapPose(widths.backbone[1:], widths.crop // STRIDE)
    return MapPose(widths.decoder[2:], widths.crop // DECODED_STRIDE)
