"""Untrained networks whose maps have peaks."""

from __future__ import annotations

import torch

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer


@torch.no_grad()
def with_peaks(network: KeypointTransformer) -> KeypointTransformer:
    """Scale the last layers of the maps so that noise gives them a mean of 20 and a spread of 60 of 255."""
    for module in network.decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    side = network.config.crop
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    maps = network.see(image).maps
    unit = 1.0 if network.config.variant == "authors" else 255.0
    decoder = network.decoder
    heads = (decoder.convOut,) if decoder.convOut is not None else (decoder.convOut_hm, decoder.convOut_seg)
    for channel, head in enumerate(heads):
        assert head is not None
        last, values = head[-1], maps[:, channel]
        scale = 60 / float(values.std())
        last.weight.mul_(scale)
        last.bias.mul_(scale).add_((20 - scale * float(values.mean())) / unit)
    return network
