"""How far a Keypoint Transformer's numbers can be believed, measured on scenes; the pipeline reads it off the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.datasets.two_hands import SceneSample
from hand_pose_ros.evaluation.scene_benchmark import SceneFigures, SceneResults, crop_window, run_network
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.pipeline.scene_network import SceneNetwork
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.types import BoolArray, DoubleArray

# Errors beyond this quantile are failures (another hand, another finger), which no Gaussian describes.
_TRUSTED: Final = 0.95
_LEVELS: Final = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True)
class Deviations:
    """One standard deviation per axis, and the presence at which a hand is as likely there as not.

    Attributes:
        uv: pixels of the crop, of places without a keypoint. depth: metres. hand_translation: metres.
        presence_level: 0..1.
        wrist_depth: metres, of how much farther the left wrist is; None where the network does not say it by itself.
        object_level: the object's presence that tells most pictures right; None where the network tells none.
    """

    uv: float
    depth: float
    hand_translation: float
    presence_level: float
    wrist_depth: float | None = None
    object_level: float | None = None

    def stated(self) -> dict[str, str]:
        """As the model file states them."""
        told = {} if self.wrist_depth is None else {"wrist_depth_std": f"{self.wrist_depth:.4f}"}
        told |= {} if self.object_level is None else {"object_level": f"{self.object_level:.3f}"}
        return {
            **told,
            "uv_std": f"{self.uv:.2f}",
            "depth_std": f"{self.depth:.4f}",
            "hand_translation_std": f"{self.hand_translation:.4f}",
            "presence_level": f"{self.presence_level:.3f}",
        }


def measure_deviations(samples: Iterable[SceneSample], network: SceneNetwork) -> Deviations:
    """Run the network over samples; its raw places, not those drawn to keypoints, are compared.

    Raises:
        ValueError: no sample shows a hand.
    """
    places, depths, translations, wrists, presences, truths = [], [], [], [], [], []
    objects, held = [], []
    for sample in samples:
        given = run_network(network, sample)
        outputs = {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
        truths.append(sample.present)
        presences.append(outputs["presence"][0])
        held.append(sample.object is not None)
        objects.append(outputs.get("object_presence", np.empty(0)))
        for k in np.flatnonzero(sample.valid.all(axis=1)):
            true = sample.joints[k].astype(np.float64)
            window = crop_window(sample, network.margin, network.around_object)
            matrix = window.matrix(network.size)
            inside = project(true, sample.intrinsics) @ matrix[:2, :2].T + matrix[:2, 2]
            places.append((outputs["uv"][0, k] - inside).ravel())
            depths.append(outputs["depth"][0, k, 1:] - (true[1:, 2] - true[WRIST, 2]))
        if sample.hand_translation is not None and sample.present.all():
            translations.append(outputs["hand_translation"][0] - sample.hand_translation)
            wrists.append(outputs.get("wrist_depth", np.empty(0)) - sample.hand_translation[2])
    if not places:
        raise ValueError("expected scenes with hands to measure on, found none")
    return Deviations(
        _spread(np.concatenate(places)),
        _spread(np.concatenate(depths)),
        _spread(np.concatenate(translations)) if translations else 0.0,
        presence_level(np.concatenate(presences), np.concatenate(truths)),
        _spread(np.concatenate(wrists)) if any(len(wrist) for wrist in wrists) else None,
        object_level(np.concatenate(objects), np.array(held)) if network.has_object else None,
    )


def presence_level(presence: DoubleArray, present: BoolArray) -> float:
    """The threshold that tells most of both right: hands that are there, and hands that are not, count alike."""
    there, gone = presence[present], presence[~present]
    right = np.array([(there > level).mean() + ((gone <= level).mean() if len(gone) else 0.0) for level in _LEVELS])
    best = np.flatnonzero(right >= right.max() - 1e-9)
    return float(_LEVELS[best].mean())


def object_level(presence: DoubleArray, present: BoolArray) -> float:
    """The threshold that tells most pictures right. Few have an object: what is given should be there."""
    right = np.array([((presence > level) == present).mean() for level in _LEVELS])
    return float(_LEVELS[np.flatnonzero(right >= right.max() - 1e-9)].mean())


def _spread(errors: DoubleArray) -> float:
    """Root mean square of all but the largest errors."""
    size = np.abs(errors)
    return float(np.sqrt(np.mean(size[size <= np.quantile(size, _TRUSTED)] ** 2)))


def card_figures(found: SceneFigures, results: SceneResults) -> dict[str, str]:
    """What a model's card says of its errors."""
    single, interacting, pairs = found.hands.pictures
    there = np.array([bool(name) for name in results.objects])
    lines = {
        "validation_scenes": f"{len(results.present)} ({single} with one hand, {interacting} with two)",
        "mpjpe_single_mm": f"{1e3 * found.hands.single:.2f}",
        "mpjpe_interacting_mm": f"{1e3 * found.hands.interacting:.2f}",
        "mrrpe_mm": f"{1e3 * found.hands.mrrpe:.2f} ({pairs} pictures)",
        "epe_mm": f"{1e3 * found.epe:.2f}",
        "error_in_picture": f"{100 * found.pixels:.2f} % of the crop's side",
        "presence": f"both hands told right in {100 * found.presence:.1f} % of the pictures",
    }
    if found.objects is not None:
        told = results.object_presence > 0.5
        lines["mssd_mm"] = f"{1e3 * found.objects.mean:.1f}"
        lines["object_presence"] = f"{100 * float((told == there).mean()):.1f} % right"
    return lines
