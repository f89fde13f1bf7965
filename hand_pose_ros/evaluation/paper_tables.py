"""The tables of the Keypoint-Fusion paper (Liu et al., AAAI 2024), with our rows beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hand_pose_ros.evaluation.benchmark import Score
from hand_pose_ros.evaluation.challenge import MeshScores
from hand_pose_ros.evaluation.report import Cell, Table

CENTERS: Final = {"truth": "the true joints", "given": "what the data gives", "finder": "our hand finder"}
# MPJPE and PA-MPJPE (mm) per split on DexYCB, crop centre from the truth; the PA figure is known for S0 only.
PUBLISHED_DEXYCB: Final[Mapping[str, tuple[float, float | None]]] = {
    "s0": (6.94, 4.79),
    "s1": (8.64, None),
    "s2": (7.56, None),
    "s3": (7.02, None),
}
# Raw and scale-translation aligned error (cm) on HO-3D v2, crop centre from another network.
PUBLISHED_HO3D: Final[Mapping[int, tuple[float, float]]] = {2: (1.79, 1.87)}


def dexycb_table(scores: Mapping[str, Sequence[Score]], method: str) -> Table:
    """Table 1: MPJPE (camera frame, nothing aligned), PA-MPJPE and AUC in mm, a block of rows per split.

    Where all four set-ups were measured, their plain average follows, as in the paper.
    """
    rows: list[tuple[Cell, ...]] = []
    for split, results in scores.items():
        rows += _published_row(split)
        rows += [(split.upper(), method, center_name(r), r.counted, _share(r), *_figures(r)) for r in results]
    if set(scores) == set(PUBLISHED_DEXYCB):
        rows += _average_rows(scores, method)
    columns = ("split", "method", "crop centre", "hands", "found %", "MPJPE", "PA-MPJPE", "AUC", "PA-AUC", "root-rel.")
    return Table("DexYCB, errors in mm (paper's Table 1)", columns, tuple(rows), (0, 0, 0, 0, 1, 2, 2, 3, 3, 2))


def _figures(r: Score) -> tuple[float, ...]:
    return r.mpjpe * 1e3, r.aligned * 1e3, r.auc, r.aligned_auc, r.root_relative * 1e3


def _published_row(split: str) -> list[tuple[Cell, ...]]:
    published = PUBLISHED_DEXYCB.get(split)
    if published is None:
        return []
    return [(split.upper(), "Keypoint-Fusion, paper", CENTERS["truth"], None, 100.0, *published, None, None, None)]


def _average_rows(scores: Mapping[str, Sequence[Score]], method: str) -> list[tuple[Cell, ...]]:
    paper = float(np.mean([figures[0] for figures in PUBLISHED_DEXYCB.values()]))
    rows: list[tuple[Cell, ...]] = [
        ("AVG", "Keypoint-Fusion, paper", CENTERS["truth"], None, 100.0, paper, None, None, None, None)
    ]
    for center in CENTERS:
        whole = [r for results in scores.values() for r in results if r.center == center and r.whole]
        if len(whole) == len(scores):
            means = np.mean([(_share(r), *_figures(r)) for r in whole], axis=0)
            counted = sum(r.counted for r in whole)
            rows.append(("AVG", method, CENTERS[center], counted, *(float(value) for value in means)))
    return rows


def ho3d_table(results: Sequence[Score], method: str, version: int | None, beside: int | None) -> Table:
    """Table 2: raw and scale-translation aligned joint errors in cm with their AUC, and the Procrustes one.

    `version` is the data's; `beside` the version whose published row stands above (None: none, another split).
    """
    rows: list[tuple[Cell, ...]] = []
    published = PUBLISHED_HO3D.get(beside or 0)
    if published is not None:
        rows.append(
            (
                "Keypoint-Fusion, paper",
                "another network",
                None,
                100.0,
                published[0],
                None,
                published[1],
                None,
                None,
                None,
            )
        )
    for result in results:
        figures = result.challenge
        rows.append(
            (
                method,
                center_name(result),
                result.counted,
                _share(result),
                figures.raw * 1e2,
                figures.raw_auc,
                figures.scale_translation * 1e2,
                figures.scale_translation_auc,
                figures.procrustes * 1e2,
                figures.procrustes_auc,
            )
        )
    columns = ("method", "crop centre", "hands", "found %", "raw", "raw AUC", "sc.-tr.", "sc.-tr. AUC", "PA", "PA AUC")
    title = f"HO-3D{f' v{version}' if version else ''}, errors in cm (paper's Table 2)"
    return Table(title, columns, tuple(rows), (0, 0, 0, 1, 2, 3, 2, 3, 2, 3))


def mesh_table(scores: MeshScores) -> Table:
    """The challenge's mesh figures."""
    rows = (
        ("raw", scores.raw * 1e2, scores.raw_auc, *scores.f_scores),
        ("Procrustes aligned", scores.aligned * 1e2, scores.aligned_auc, *scores.aligned_f_scores),
    )
    return Table("Mesh, errors in cm", ("alignment", "error", "AUC", "F@5 mm", "F@15 mm"), rows, (0, 2, 3, 3, 3))


def _share(result: Score) -> float:
    """Percent found; a row over a part of the hands has none."""
    return result.share_found * 100 if result.whole else float("nan")


def center_name(result: Score) -> str:
    """The kind of centre in words; a row over a part of the hands found says so."""
    name = CENTERS[result.center]
    return name if result.whole else f"{name}, of those found"
