"""One modality's encoder, decoder and pixel-wise maps."""

from __future__ import annotations

from torch import Tensor, nn

from hand_pose_ros.networks.backbones import ResNetEncoder
from hand_pose_ros.networks.keypoint_fusion.decoder import PixelHeads, UNetDecoder


class Branch(nn.Module):
    """Encoder, decoder and pixel heads of one modality."""

    def __init__(
        self,
        channels: int,
        widths: tuple[int, int, int, int],
        blocks: tuple[int, int, int, int],
        stem_kernel: int,
        features: int,
        refine: bool,
    ) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(channels, widths, blocks, stem_kernel)
        self.decoder = UNetDecoder(widths, features, refine)
        self.heads = PixelHeads(features)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, channels, 128, 128) -> maps (B, 105, 32, 32), features (B, C, 32, 32), pooled deep features (B, W)."""
        encoded = self.encoder(image)
        features = self.decoder(encoded)
        return self.heads(features), features, encoded[3].mean(dim=(2, 3))
