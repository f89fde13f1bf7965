"""Recordings as sources: a rosbag2 folder, a .mcap or a .db3 file, whole or broken, becomes frames and scenes.

Frames are pulled in order and paired by stamp; none is skipped for speed. What cannot be read is in `problems`, what
could not be paired or decoded in `drops`.

    with BagReader("recording") as bag:
        for frame in bag.frames():
            ...
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from rosbags.serde import SerdeError

from hand_pose_ros.sources.bag_storage import BagStorage, Topic
from hand_pose_ros.sources.bag_topics import COMPRESSED, HANDS, IMAGE, BagTopics, FirstImage, describe, find_topics
from hand_pose_ros.sources.errors import BagError, DecodeError
from hand_pose_ros.sources.frames import DepthCamera, FrameMaker
from hand_pose_ros.sources.image_messages import color_of, depth_of, intrinsics_of, is_rectified
from hand_pose_ros.sources.message_types import typestore
from hand_pose_ros.sources.pairing import pair_all
from hand_pose_ros.sources.scene_messages import scene_from_messages, stamp_of
from hand_pose_ros.sources.static_tree import TF_STATIC, NoTransform, StaticTree
from hand_pose_ros.types import Frame, Intrinsics, InvalidData, Scene

DAMAGED: Final = "damaged"  # an image or message that cannot be decoded
# What one message can be wrong in without the rest being so; IndexError, TypeError: CDR bytes that end too early.
_MESSAGE_ERRORS = (SerdeError, DecodeError, InvalidData, IndexError, TypeError, MemoryError, OverflowError)


class BagReader:
    """A recording, read in order; a context manager.

    Args:
        path: a rosbag2 folder, a .mcap file or a .db3 file.
        topics: names to use instead of what would be found.
        intrinsics: of the camera, for recordings without camera_info.
        tolerance_ns: largest difference of stamps of a colour and depth image that belong together.

    Attributes:
        topics: the topics in use; "" where there is none.
        drops: images that are in no frame, by reason, of the last (or running) `frames()`.

    Raises:
        BagError: on entering: no recording, no image topic, depth that is not aligned, no camera_info.
    """

    def __init__(
        self,
        path: Path | str,
        topics: BagTopics | None = None,
        *,
        intrinsics: Intrinsics | None = None,
        tolerance_ns: int = 0,
    ) -> None:
        self.path = Path(path)
        self.topics = topics if topics is not None else BagTopics()
        self.drops: Counter[str] = Counter()
        self._storage = BagStorage(path)
        self._given_intrinsics = intrinsics
        self._tolerance_ns = tolerance_ns
        self._cameras: list[tuple[int, Intrinsics]] = []
        self._make_frame = FrameMaker()
        self._depth_camera: DepthCamera | None = None

    def __enter__(self) -> BagReader:
        storage = self._storage.__enter__()
        try:
            first = self._first_images()
            self.topics = find_topics(self.topics, storage.topics, first)
            self._find_intrinsics()
            self._depth_camera = self._find_depth_camera(first)
        except BagError as error:
            storage.__exit__(None, None, None)
            raise BagError("; ".join([f"{self.path}: {error}", *self.problems[:3]])) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.__exit__(kind, error, trace)

    @property
    def problems(self) -> list[str]:
        """What could not be read, one line each, as far as was read."""
        return self._storage.problems

    @property
    def contents(self) -> dict[str, Topic]:
        """All topics of the recording."""
        return self._storage.topics

    @property
    def streams(self) -> tuple[str, ...]:
        """What a frame holds: "color", "depth" or both."""
        return tuple(role for role in ("color", "depth") if getattr(self.topics, role))

    @property
    def expected_frames(self) -> int:
        """The most frames there can be: for a progress bar."""
        return min(self.contents[getattr(self.topics, role)].count for role in self.streams)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera at the beginning."""
        return self._cameras[0][1]

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self) -> Iterator[Frame]:
        """All frames in order, from the beginning."""
        self.drops.clear()
        for images in pair_all(self._images(), self.streams, self._tolerance_ns, self.drops):
            frame = self._decoded(partial(self._frame, images), len(images))
            if frame is not None:
                yield frame

    @cached_property
    def truths(self) -> dict[int, Scene]:
        """The true scenes by stamp (ns); empty where the recording has none."""
        if not self.topics.truth:
            return {}
        return {scene.stamp_ns: scene for scene in _scenes(self._storage, self.topics.truth)}

    def _images(self) -> Iterator[tuple[str, int, Any]]:
        """(stream, stamp, message) of every image; camera_info is taken note of on the way."""
        roles = {getattr(self.topics, role): role for role in (*self.streams, "camera_info")}
        raw_info = b""
        for topic, msgtype, _, data in self._storage.messages(roles):
            if roles[topic] == "camera_info":
                # The bytes behind encapsulation and stamp; they change only when the camera is set anew.
                if data[12:] != raw_info and self._given_intrinsics is None:
                    raw_info = data[12:]
                    self._take_camera_info(msgtype, data)
                continue
            message = self._decoded(partial(_deserialize, msgtype, data))
            if message is not None:
                yield roles[topic], stamp_of(message.header), message

    def _frame(self, images: dict[str, Any]) -> Frame:
        header = next(iter(images.values())).header
        color = images.get("color")
        depth = images.get("depth")
        stamp_ns = stamp_of(header)
        return self._make_frame(
            stamp_ns,
            header.frame_id,
            self._camera_at(stamp_ns),
            None if color is None else color_of(color),
            None if depth is None else depth_of(depth),
            self._depth_camera,
        )

    def _decoded(self, decode: Callable[[], Any], images: int = 1) -> Any:
        """What `decode` gives, or None and the loss of `images` counted and told."""
        try:
            return decode()
        except _MESSAGE_ERRORS as error:
            self.drops[DAMAGED] += images
            self._storage.report(f"{self.path.name}: {error}")
            return None

    def _first_images(self) -> dict[str, FirstImage]:
        """The first readable message of every image topic."""
        first: dict[str, FirstImage] = {}
        for name, topic in self.contents.items():
            if topic.msgtype not in (IMAGE, COMPRESSED):
                continue
            for message in self._readable({name}):
                encoding = message.encoding if topic.msgtype == IMAGE else message.format
                first[name] = FirstImage(encoding, message.header.frame_id)
                break
            else:
                self._storage.report(f"topic {name} ({topic.msgtype}) holds no readable message")
        return first

    def _readable(self, topics: Collection[str]) -> Iterator[Any]:
        return _readable(self._storage, topics)

    def _find_intrinsics(self) -> None:
        if self._given_intrinsics is not None:
            self._cameras = [(0, self._given_intrinsics)]
            return
        if self.topics.camera_info:
            for message in self._storage.messages({self.topics.camera_info}):
                self._take_camera_info(message.msgtype, message.data)
                if self._cameras:
                    return
        raise BagError(
            f"no usable camera_info for {self.topics.color or self.topics.depth}; name its topic, or give the camera's "
            f"intrinsics. The recording holds {describe(self.contents.values())}"
        )

    def _find_depth_camera(self, first: Mapping[str, FirstImage]) -> DepthCamera | None:
        """The depth camera, where depth is not aligned to colour."""
        color, depth, info = self.topics.color, self.topics.depth, self.topics.depth_camera_info
        if not color or not depth or not info:
            return None
        tree = StaticTree()
        for message in self._readable({TF_STATIC}):
            tree.add(message.transforms)
        try:
            extrinsics = tree.between(first[depth].frame_id, first[color].frame_id)
            message = next(iter(self._readable({info})))
            return DepthCamera(intrinsics_of(message, is_rectified(depth)), extrinsics)
        except (NoTransform, StopIteration, InvalidData) as error:
            reason = str(error) or f"no readable message on {info}"
            raise BagError(f"depth of {depth} cannot be aligned to {color}: {reason}") from error

    def _take_camera_info(self, msgtype: str, data: bytes) -> None:
        message = self._decoded(partial(_deserialize, msgtype, data))
        rectified = is_rectified(self.topics.color or self.topics.depth or "")
        camera = None if message is None else self._decoded(partial(intrinsics_of, message, rectified))
        if camera is not None and all(camera != known for _, known in self._cameras[-1:]):
            self._cameras.append((stamp_of(message.header), camera))

    def _camera_at(self, stamp_ns: int) -> Intrinsics:
        """The camera_info of this stamp or the last before it; at the beginning the first."""
        index = bisect_right([stamp for stamp, _ in self._cameras], stamp_ns)
        return self._cameras[max(index - 1, 0)][1]


def read_scenes(path: Path | str, topic: str | None = None, problems: list[str] | None = None) -> list[Scene]:
    """The results stored in a recording: scenes of a HandArray topic with the meshes and objects beside it.

    Args:
        path: a rosbag2 folder, a .mcap file or a .db3 file.
        topic: of the HandArray; None takes the only one that is not the truth.
        problems: takes what cannot be read, one line each; without it the first such thing is an error.

    Raises:
        BagError: no such topic, or several; anything unreadable where `problems` is not given.
    """
    with BagStorage(path) as storage:
        found = [t.name for t in storage.topics.values() if t.msgtype == HANDS]
        results = [name for name in found if not name.startswith("/truth/")]
        if topic is None and len(results) != 1:
            raise BagError(
                f"{path}: expected one {HANDS} topic with results, found {results or 'none'}; name it. The recording "
                f"holds {describe(storage.topics.values())}"
            )
        if topic is not None and topic not in found:
            raise BagError(f"{path}: no {HANDS} topic {topic!r}; found {found or 'none'}")
        scenes = list(_scenes(storage, results[0] if topic is None else topic))
        if problems is None and storage.problems:
            raise BagError("; ".join(storage.problems[:3]))
        if problems is not None:
            problems += storage.problems
    return scenes


def _scenes(storage: BagStorage, topic: str) -> Iterator[Scene]:
    base = topic.rsplit("/", 1)[0]
    meshes = {stamp_of(m.header): m for m in _readable(storage, {f"{base}/meshes"})}
    objects = {stamp_of(m.header): m for m in _readable(storage, {f"{base}/objects"})}
    for message in _readable(storage, {topic}):
        stamp_ns = stamp_of(message.header)
        try:
            yield scene_from_messages(message, meshes.get(stamp_ns), objects.get(stamp_ns))
        except InvalidData as error:
            storage.report(f"{topic} at {stamp_ns} ns: {error}")


def _readable(storage: BagStorage, topics: Collection[str]) -> Iterator[Any]:
    """Messages that can be deserialised; the others are reported."""
    for topic, msgtype, _, data in storage.messages(topics):
        try:
            yield _deserialize(msgtype, data)
        except _MESSAGE_ERRORS as error:
            storage.report(f"{topic}: {error}")


def _deserialize(msgtype: str, data: bytes) -> Any:
    if msgtype not in typestore().fielddefs:
        raise DecodeError(f"message type {msgtype} is not known here")
    return typestore().deserialize_cdr(data, msgtype)
