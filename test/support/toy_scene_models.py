"""Small real ONNX graphs with the contracts of the two-hand models, which "see" the coloured blobs of `toy_scenes`.

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


# Keypoint Transformer of places and depths: three slots for keypoints, 42 queries for joints and one more.
SLOTS = 3
KEYPOINT_OUTPUTS = {
    "uv": (1, 2, 21, 2),
    "depth": (1, 2, 21),
    "presence": (1, 2),
    "hand_translation": (1, 3),
    "keypoint_uv": (1, SLOTS, 2),
    "keypoint_score": (1, SLOTS),
    "identity": (1, SLOTS, 43),
    "attention": (1, 43, SLOTS),
}


def handformer2t_model(path: Path) -> Path:
    """The toy network as an .onnx file."""
    g = GraphBuilder()
    counts = _hands(g)
    nothing = g.op("Mul", g.reshape(counts, [1, 2, 1]), g.constant(0.0))
    g.op("Add", nothing, g.constant(np.full((1, 2, 21), 0.5)), output="uv_std")
    g.op("Add", nothing, g.constant(np.full((1, 2, 21), 0.004)), output="depth_std")
    g.op("Mul", g.pick(g.reshape(counts, [2]), 0, 0, 1), g.constant(0.0), output="wrist_depth")
    facts = {"model": "handformer2t", "version": "toy"}
    return g.save(path, INPUTS, OUTPUTS, facts)


def keypoint_transformer_model(path: Path) -> Path:
    """A toy Keypoint Transformer: its keypoints are the right hand's wrist, thumb's and index finger's tip, and each of
    these joints attends to its own keypoint alone."""
    g = GraphBuilder()
    counts = _hands(g)
    joints, rows = (0, 4, 8), (20, 0, 4)  # canonical order, and the queries' (InterHand's)
    right = g.reshape(g.pick("uv", 1, 0, 1), [1, 21, 2])
    g.op("Concat", *(g.pick(right, 1, joint, joint + 1) for joint in joints), axis=1, output="keypoint_uv")
    identity, attention = np.zeros((1, SLOTS, 43)), np.full((1, 43, SLOTS), 1 / SLOTS)
    for slot, (joint, row) in enumerate(zip(joints, rows, strict=True)):
        identity[0, slot, 1 + joint] = 0.9
        attention[0, row] = np.eye(SLOTS)[slot]
    given = {
        "keypoint_score": np.full((1, SLOTS), 0.8),
        "identity": identity,
        "attention": attention,
        "hand_translation": np.full((1, 3), np.nan),
    }
    nothing = g.op("Mul", g.reshape(g.pick(counts, 1, 0, 1), [1]), g.constant(0.0))
    for name, value in given.items():
        g.op("Add", nothing, g.constant(value), output=name)
    facts = {"model": "keypoint_transformer", "representation": "2p5d", "version": "toy"}
    return g.save(path, INPUTS, KEYPOINT_OUTPUTS, facts)


def _hands(g: GraphBuilder) -> str:
    """Outputs uv, depth and presence; returns the blobs' pixel counts (1, 2)."""
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
    g.op("Clip", g.op("Div", counts, g.constant(50.0)), g.constant(0.0), g.constant(0.97), output="presence")
    return counts
