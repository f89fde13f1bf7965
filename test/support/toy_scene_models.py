"""A small real ONNX graph with the contract of Handformer2T, which "sees" the coloured blobs of `toy_scenes` as hands.

Green is a right hand and blue a left one; the blob's width is taken for 12 cm, so that distances come out right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from toy_models import GraphBuilder, toy_hand

CROP = 64
BLOB_WIDTH = 0.12
INPUTS = {"rgb": ((1, CROP, CROP, 3), np.uint8)}
OUTPUTS = {
    "uv": (1, 2, 21, 2),
    "depth": (1, 2, 21),
    "uv_std": (1, 2, 21),
    "depth_std": (1, 2, 21),
    "presence": (1, 2),
    "wrist_depth": (1,),
}


def handformer2t_model(path: Path) -> Path:
    """The toy network as an .onnx file."""
    g = GraphBuilder()
    hand = toy_hand()
    hands = [hand - hand[0], (hand - hand[0]) * np.array([-1, 1, 1], dtype=np.float32)]
    channels = g.cast(g.op("Greater", g.cast(g.pick("rgb", 3, 1, 3)), g.constant(128.0)))  # (1, S, S, 2)
    counts = g.sum(channels, [1, 2], 0)  # (1, 2)
    weight = g.op("Add", counts, g.constant(1e-6))
    grid = np.arange(CROP, dtype=np.float32)
    middles = []
    for shape in ((1, 1, CROP, 1), (1, CROP, 1, 1)):
        along = g.op("Mul", channels, g.constant(grid.reshape(shape)))
        middles.append(g.reshape(g.op("Div", g.sum(along, [1, 2], 0), weight), [1, 2, 1, 1]))
    middle = g.op("Concat", *middles, axis=3)  # (1, 2, 1, 2) pixels
    scale = g.reshape(g.op("Div", g.op("Sqrt", counts), g.constant(BLOB_WIDTH)), [1, 2, 1, 1])  # pixels per metre
    flat = np.stack([(one - one.mean(axis=0))[:, :2] for one in hands])[None]
    g.op("Add", middle, g.op("Mul", scale, g.constant(flat)), output="uv")
    nothing = g.op("Mul", g.reshape(counts, [1, 2, 1]), g.constant(0.0))
    g.op("Add", nothing, g.constant(np.stack([one[:, 2] for one in hands])[None]), output="depth")
    g.op("Add", nothing, g.constant(np.full((1, 2, 21), 0.5)), output="uv_std")
    g.op("Add", nothing, g.constant(np.full((1, 2, 21), 0.004)), output="depth_std")
    g.op("Clip", g.op("Div", counts, g.constant(50.0)), g.constant(0.0), g.constant(0.97), output="presence")
    g.op("Mul", g.pick(g.reshape(counts, [2]), 0, 0, 1), g.constant(0.0), output="wrist_depth")
    facts = {"model": "handformer2t", "version": "toy"}
    return g.save(path, INPUTS, OUTPUTS, facts)
