"""A published Keypoint Transformer checkpoint on torch, as an engine with the exported graph's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch

from hand_pose_ros.engines.base import Array, EngineError, TensorSpec, check_inputs
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig, published
from hand_pose_ros.networks.keypoint_transformer.checkpoint import WrongCheckpoint, load_checkpoint
from hand_pose_ros.networks.keypoint_transformer.decode import Decoded, decode

PUBLISHED: Final = ("interhand", "interhand_mano", "ho3d", "h2o3d")


class PublishedKeypointTransformer:
    """See `hand_pose_ros.engines.base.Engine`; uses a GPU where there is one, and the published peak search.

    Args:
        path: the authors' file.
        name: which of their networks, see `networks.keypoint_transformer.published`, or a configuration.
        threads: CPU threads of torch; 0 leaves them.

    Raises:
        EngineError: no such file, or another network's.
    """

    name: Final = "torch"

    def __init__(self, path: Path, name: str | KeypointTransformerConfig, threads: int = 0) -> None:
        config = published(name) if isinstance(name, str) else name
        network = KeypointTransformer(config)
        try:
            load_checkpoint(network, path)
        except (OSError, WrongCheckpoint) as error:
            raise EngineError(
                f"{error}; --checkpoint takes a file of the authors, and --published says which of their networks it "
                "holds"
            ) from error
        if threads:
            torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).eval()
        self.description = f"torch {torch.__version__} on {self._device}"
        self.metadata: Mapping[str, str] = {"model": "keypoint_transformer", "variant": "authors"}
        self.inputs = (TensorSpec("rgb", (1, config.crop, config.crop, 3), np.dtype(np.uint8)),)
        example = self._run(np.zeros((1, config.crop, config.crop, 3), dtype=np.uint8))
        self.outputs = tuple(TensorSpec(key, value.shape, value.dtype) for key, value in example.items())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `Engine.run`."""
        check_inputs("Keypoint Transformer", self.inputs, inputs)
        return self._run(inputs["rgb"])

    def _run(self, rgb: Array) -> dict[str, Array]:
        with torch.inference_mode():
            image = torch.from_numpy(rgb).to(self._device).permute(0, 3, 1, 2).to(torch.float32) / 255
            result = decode(self._network(image), authors=True)
        found = zip(Decoded._fields, result, strict=True)
        return {key: value.cpu().numpy() for key, value in found if value is not None}
