"""The hands of scenes one at a time, for whoever looks at a single hand: InterNet's protocol on RHD, our networks."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.datasets.base import HandDataset, HandSample, SampleKey
from hand_pose_ros.datasets.two_hands import HANDS, SceneDataset
from hand_pose_ros.skeleton import WRIST


class HandsOfScenes(HandDataset):
    """Each hand that is in a picture is a sample of its own; pictures with two hands come twice, the right one first.

    `HandSample.joints` is None where a joint of the hand is not annotated.
    """

    def __init__(self, scenes: SceneDataset) -> None:
        self._scenes = scenes
        self._hands = np.argwhere(scenes.present)
        self.name, self.split, self.root = scenes.name, scenes.split, scenes.root
        self.reading, self.notes = scenes.reading, scenes.notes

    def __len__(self) -> int:
        return len(self._hands)

    @property
    def has_truth(self) -> bool:
        """See `HandDataset.has_truth`."""
        return self._scenes.has_truth

    def key(self, index: int) -> SampleKey:
        """The scene's key."""
        return self._scenes.key(int(self._hands[self._checked(index), 0]))

    def __getitem__(self, index: int) -> HandSample:
        number, hand = (int(value) for value in self._hands[self._checked(index)])
        scene = self._scenes[number]
        valid = scene.valid[hand]
        return HandSample(
            dataset=self.name,
            key=scene.key,
            intrinsics=scene.intrinsics,
            side=HANDS[hand],
            rgb=scene.rgb,
            depth=scene.depth,
            joints=scene.joints[hand] if valid.all() else None,
            wrist=scene.joints[hand, WRIST] if valid[WRIST] else None,
            # A scene's box holds both hands; where there is one hand, it is the hand's.
            box=scene.boxes[hand] if scene.boxes[hand] is not None or scene.interacting else scene.box,
            mano=scene.mano[hand],
        )
