"""Accuracy and latency as tables; here metres become the papers' millimetres."""

from __future__ import annotations

import dataclasses
from typing import Any

from hand_pose_ros.evaluation.accuracy import Accuracy
from hand_pose_ros.evaluation.report import Cell, Table
from hand_pose_ros.skeleton import JOINT_NAMES


def error_table(accuracy: Accuracy, title: str = "Error against the truth") -> Table:
    """MPJPE under the three alignments in mm, with the AUC from 0 to 50 mm."""
    rows = (
        ("absolute MPJPE", accuracy.absolute * 1e3, accuracy.auc_absolute),
        ("root-relative MPJPE", accuracy.root_relative * 1e3, accuracy.auc_root_relative),
        ("PA-MPJPE", accuracy.aligned * 1e3, accuracy.auc_aligned),
    )
    return Table(title, ("measure", "mm", "AUC 0-50 mm"), rows, (0, 1, 3))


def detection_table(accuracy: Accuracy) -> Table:
    """Recall and precision in percent by side."""
    rows = tuple(
        (side, c.truths, c.found, c.wrong_side, c.missed, c.invented, c.recall * 100, c.precision * 100)
        for side, c in accuracy.counts.items()
    )
    columns = ("side", "true", "found", "wrong side", "missed", "invented", "recall %", "precision %")
    return Table("Detection", columns, rows)


def joint_table(accuracy: Accuracy) -> Table:
    """Mean error of each joint in mm."""
    rows = tuple(
        (name, float(absolute) * 1e3, float(relative) * 1e3)
        for name, absolute, relative in zip(
            JOINT_NAMES, accuracy.per_joint, accuracy.per_joint_root_relative, strict=True
        )
    )
    return Table("Error by joint", ("joint", "absolute mm", "root-relative mm"), rows)


def reliability_table(accuracy: Accuracy) -> Table:
    """How far the predicted standard deviations can be believed."""
    result = accuracy.reliability
    if result is None:
        return Table("Uncertainty", ("measure", "expected", "observed"), ())
    percent: tuple[tuple[Cell, ...], ...] = tuple(
        (f"joints within {k} std (3D) %", expected * 100, seen * 100)
        for k, expected, seen in zip((1, 2, 3), result.expected, result.within, strict=True)
    )
    rows = (
        *percent,
        ("calibration error (mean |observed - nominal|) %", 0.0, result.error * 100),
        ("factor that would calibrate the std", 1.0, result.scale),
        ("rank correlation of std and error", None, result.correlation),
    )
    return Table("Uncertainty", ("measure", "expected", "observed"), rows, 2)


def stability_table(accuracy: Accuracy) -> Table:
    """Steadiness over time."""
    rows = (
        ("bone length spread within a track (mm)", accuracy.bone_spread * 1e3),
        ("acceleration error (m/s²)", accuracy.jitter),
        ("mean bone length error (mm)", float(accuracy.bone_bias.mean()) * 1e3),
    )
    return Table("Steadiness", ("measure", "value"), rows)


def latency_table(summary: dict[str, dict[str, float]]) -> Table:
    """Milliseconds by stage."""
    rows = tuple((name, value["mean"], value["p50"], value["p95"]) for name, value in summary.items())
    return Table("Pipeline time per frame", ("stage", "mean ms", "p50 ms", "p95 ms"), rows, 2)


def accuracy_data(accuracy: Accuracy) -> dict[str, Any]:
    """Everything for JSON, in metres."""
    return dataclasses.asdict(accuracy)
