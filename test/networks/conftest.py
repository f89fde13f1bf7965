"""Inputs for the networks' tests: a blob of depth and noise in colour, seen by a plain camera."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

MakeInputs = Callable[[int, int], dict[str, "torch.Tensor"]]
MakeState = Callable[[str], dict[str, "torch.Tensor"]]
Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(scope="session")
def make_inputs() -> MakeInputs:
    """`make_inputs(batch, seed)` gives keyword arguments of `KeypointFusion.forward`."""
    return _make_inputs


@pytest.fixture(scope="session")
def kpt_fusion_golden(shared_dir: Path) -> Path:
    """Folder of Keypoint-Fusion's golden tensors."""
    return shared_dir / "golden" / "keypoint_fusion"


@pytest.fixture(scope="session")
def published_keys(kpt_fusion_golden: Path) -> dict[str, Shapes]:
    """Per size: keys and shapes of the published state dict."""
    keys = {}
    for size, name in (("r18", "keys_r18.txt"), ("convnext_t", "keys_cnxt.txt")):
        lines = (line.split("\t") for line in (kpt_fusion_golden / name).read_text().splitlines())
        keys[size] = {key: ast.literal_eval(shape) for key, shape, _ in lines}
    return keys


@pytest.fixture(scope="session")
def published_state(kpt_fusion_golden: Path, published_keys: dict[str, Shapes]) -> MakeState:
    """`published_state(size)`: the state dict by rule under the checkpoint's names; the unused word tables left out."""
    spec = importlib.util.spec_from_file_location("weights_rule", kpt_fusion_golden / "weights_rule.py")
    assert spec is not None and spec.loader is not None
    rule: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)

    def make(size: str) -> dict[str, torch.Tensor]:
        made = {key: shape for key, shape in published_keys[size].items() if "word_embeddings" not in key}
        return {f"module.{key}": torch.from_numpy(rule.make(key, shape)) for key, shape in made.items()}

    return make


def _make_inputs(batch: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, 128)
    radius = (axis[:, None].square() + axis[None].square()).sqrt()
    depth = torch.where(radius < 0.7, radius - 0.4, torch.ones_like(radius)).repeat(batch, 1, 1, 1)
    depth = torch.where(depth < 0.9, depth + 0.02 * torch.randn(depth.shape, generator=generator), depth)
    center = torch.tensor([0.05, -0.02, 0.6]) + 0.05 * torch.randn(batch, 3, generator=generator)
    focal, cube = 600.0, 0.25
    scale = 128 / (cube * focal / center[:, 2])
    crop_matrix = torch.zeros(batch, 3, 3)
    for axis_index, principal in ((0, 320.0), (1, 240.0)):
        middle = focal * center[:, axis_index] / center[:, 2] + principal
        crop_matrix[:, axis_index, axis_index] = scale
        crop_matrix[:, axis_index, 2] = 63.5 - scale * middle
    crop_matrix[:, 2, 2] = 1
    return {
        "rgb": torch.rand(batch, 3, 128, 128, generator=generator),
        "depth": depth,
        "center": center,
        "crop_matrix": crop_matrix,
        "cube": torch.full((batch, 3), cube),
        "intrinsics": torch.tensor([[focal, focal, 320.0, 240.0]]).repeat(batch, 1),
    }
