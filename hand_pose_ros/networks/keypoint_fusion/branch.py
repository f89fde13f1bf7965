"""One modality's encoder, decoder and pixel-wise maps."""

from __future__ import annotations

from torch import Tensor, nn

from hand_pose_ros.networks.backbones import ConvNeXtEncoder, ResNetEncoder
from hand_pose_ros.networks.keypoint_fusion.config import Widths
from hand_pose_ros.networks.keypoint_fusion.decoder import PixelHeads, Residual, UNetDecoder

Four = tuple[int, int, int, int]


class Branch(nn.Module):
    """Encoder, decoder and pixel heads of one modality.

    Args:
        channels: of the image.
        groups, blocks: channels and blocks of the encoder's four groups.
        widths: what both modalities share.
    """

    def __init__(self, channels: int, groups: Four, blocks: Four, widths: Widths) -> None:
        super().__init__()
        self.encoder: ResNetEncoder | ConvNeXtEncoder
        if widths.encoder == "convnext":
            self.encoder = ConvNeXtEncoder(channels, groups, blocks)
        else:
            self.encoder = ResNetEncoder(channels, groups, blocks, widths.stem_kernel)
        self.decoder = UNetDecoder(groups, widths.features, widths.refine_skips)
        self.embed: Residual | None = Residual(widths.features, widths.features) if widths.embed else None
        self.heads = PixelHeads(widths.features)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, channels, 128, 128) -> maps (B, 105, 32, 32), features (B, C, 32, 32), pooled deep features (B, W)."""
        features, pooled = self.features(image)
        # Votes and losses go over a map's pixels; convolutions leave its channels together.
        return self.heads(features).contiguous(), features, pooled

    def features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, without the maps."""
        encoded = self.encoder(image)
        features = self.decoder(encoded)
        if self.embed is not None:
            features = self.embed(features)
        return features, encoded[3].mean(dim=(2, 3))
