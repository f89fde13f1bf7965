"""Keypoint Transformers of the golden runs, with the weights by rule."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig, published
from hand_pose_ros.networks.keypoint_transformer.checkpoint import load_published_state

# Those with golden arrays; the last one is used by the losses' tests too and stays in the cache.
GOLDEN = {
    "ih_3d_r18_small_d1": KeypointTransformerConfig(size="r18", variant="authors"),
    "ih_2p5d_r50_small_d1": published("interhand"),
    "h2o3d_3d_r50_small_d1": published("h2o3d"),
}


def published_keys(folder: Path, variant: str) -> dict[str, tuple[int, ...]]:
    """Shapes by name, as the authors' network has them."""
    lines = (folder / f"keys_{variant}.txt").read_text().splitlines()
    fields = [line.split("\t") for line in lines if not line.startswith("#")]
    return {field[0]: ast.literal_eval(field[1]) for field in fields}


@lru_cache(maxsize=1)
def golden_network(folder: Path, variant: str) -> KeypointTransformer:
    """The network of a golden run; it is shared, so leave it as it is."""
    spec = importlib.util.spec_from_file_location("kypt_weights_rule", folder / "weights_rule.py")
    assert spec is not None and spec.loader is not None
    rule: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    heat = rule.heat_of(variant)
    shapes = published_keys(folder, variant)
    network = KeypointTransformer(GOLDEN[variant])
    load_published_state(
        network, {name: torch.from_numpy(rule.proc(name, shape, heat)) for name, shape in shapes.items()}
    )
    return network.eval()
