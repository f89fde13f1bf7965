"""A network on a data set of real hands, from several kinds of crop centre in one pass over the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.datasets.base import HandDataset, HandSample
from hand_pose_ros.evaluation import metrics
from hand_pose_ros.evaluation.centers import Predictor
from hand_pose_ros.evaluation.challenge import JointScores, joint_scores
from hand_pose_ros.evaluation.detection import MATCH_RADIUS
from hand_pose_ros.skeleton import MCPS, NUM_JOINTS, WRIST
from hand_pose_ros.types import BoolArray, FloatArray

_PALM: Final = (WRIST, *MCPS)


@dataclass(frozen=True)
class Predictions:
    """What one predictor gave for the N samples of a run.

    Attributes:
        center: kind of crop centre.
        joints: (N, 21, 3) float32 metres, NaN where there was no hand.
        truth: (N, 21, 3) float32 metres, NaN where the data set has none; shared between the predictors of a run.
    """

    center: str
    joints: FloatArray
    truth: FloatArray

    @property
    def known(self) -> BoolArray:
        """(N,) whether there is truth."""
        return np.asarray(np.isfinite(self.truth).all(axis=(1, 2)))

    @property
    def given(self) -> BoolArray:
        """(N,) whether a hand was reported."""
        return np.asarray(np.isfinite(self.joints).all(axis=(1, 2)))

    @property
    def found(self) -> BoolArray:
        """(N,) whether a hand was reported where the true one is: palms at most `MATCH_RADIUS` apart.

        Where the centre was told, every reported hand counts, however far off: the papers leave none out.
        """
        if self.center != "finder":
            return self.known & self.given
        gap = np.linalg.norm((self.joints - self.truth)[:, _PALM].mean(axis=1), axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(gap <= MATCH_RADIUS)


@dataclass(frozen=True)
class Score:
    """The figures of one row: errors are means in metres over the hands that count.

    Attributes:
        center: kind of crop centre.
        samples: hands with truth.
        found: of these, found where they are.
        elsewhere: hands of our finder more than `MATCH_RADIUS` from the true one.
        counted: hands that the errors are of.
        whole: whether these are all that were found; else the row is about the hands that another centre found.
        mpjpe, auc: absolute error in the camera frame, and the area under its PCK curve from 0 to 50 mm.
        root_relative: with the wrists put together.
        aligned, aligned_auc: after the similarity Procrustes alignment (PA-MPJPE).
        challenge: HO-3D's raw, scale-translation aligned and Procrustes figures.
    """

    center: str
    samples: int
    found: int
    elsewhere: int
    counted: int
    whole: bool
    mpjpe: float
    auc: float
    root_relative: float
    aligned: float
    aligned_auc: float
    challenge: JointScores

    @property
    def share_found(self) -> float:
        """Of the hands with truth; NaN without any."""
        return self.found / self.samples if self.samples else float("nan")


def predict(dataset: HandDataset, predictors: Sequence[Predictor], indices: Iterable[int]) -> tuple[Predictions, ...]:
    """Run every predictor on the chosen samples; each sample is read once, and only joints are kept.

    `indices` may be wrapped in a progress bar.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    joints: list[list[FloatArray]] = [[] for _ in predictors]
    truth: list[FloatArray] = []
    missing = np.full((NUM_JOINTS, 3), np.nan, dtype=np.float32)
    for sample in _read_ahead(dataset, indices):
        truth.append(missing if sample.joints is None else sample.joints)
        for predictor, row in zip(predictors, joints, strict=True):
            result = predictor.predict(sample)
            row.append(missing if result is None else result)
    shared = _stack(truth)
    return tuple(Predictions(p.center, _stack(row), shared) for p, row in zip(predictors, joints, strict=True))


def score(predictions: Predictions, among: BoolArray | None = None) -> Score:
    """The figures over the hands that were found, or over those of them in `among` (N,)."""
    known, found = predictions.known, predictions.found
    counted = found if among is None else found & among
    joints, truth = predictions.joints[counted], predictions.truth[counted]
    errors = metrics.pose_errors(joints, truth)
    return Score(
        center=predictions.center,
        samples=int(known.sum()),
        found=int(found.sum()),
        elsewhere=int((known & predictions.given & ~found).sum()),
        counted=int(counted.sum()),
        whole=among is None,
        mpjpe=metrics.mean_error(errors.absolute),
        auc=metrics.auc(errors.absolute),
        root_relative=metrics.mean_error(errors.root_relative),
        aligned=metrics.mean_error(errors.aligned),
        aligned_auc=metrics.auc(errors.aligned),
        challenge=joint_scores(joints, truth),
    )


def _read_ahead(dataset: HandDataset, indices: Iterable[int]) -> Iterator[HandSample]:
    """The samples in order; the next one is decoded while the caller works on this one."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting: Future[HandSample] | None = None
        for index in indices:
            coming = reader.submit(dataset.__getitem__, index)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def _stack(rows: Sequence[FloatArray]) -> FloatArray:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, NUM_JOINTS, 3), dtype=np.float32)
