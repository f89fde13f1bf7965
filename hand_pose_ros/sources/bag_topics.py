"""Which topics of a recording are the colour image, the depth image, the camera_info, the truth and results.

RealSense's names first; otherwise what the first message of each image topic says: its encoding, and whether depth is
expressed in the colour camera's frame (then it is aligned to it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hand_pose_ros.sources.bag_storage import Topic
from hand_pose_ros.sources.decode import DEPTH_ENCODINGS
from hand_pose_ros.sources.errors import BagError
from hand_pose_ros.sources.static_tree import TF_STATIC

IMAGE: Final = "sensor_msgs/msg/Image"
COMPRESSED: Final = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
HANDS: Final = "hand_pose_ros/msg/HandArray"
TRUTH: Final = "/truth/hands"

# realsense-ros since 4.55 with its defaults, and before (one "camera" less).
_COLOR_NAMES: Final = ("/camera/camera/color/image_raw", "/camera/color/image_raw")
_DEPTH_NAMES: Final = (
    "/camera/camera/aligned_depth_to_color/image_raw",
    "/camera/aligned_depth_to_color/image_raw",
)
_TRANSPORTS: Final = ("", "/compressed", "/compressedDepth")


@dataclass(frozen=True)
class BagTopics:
    """Topic names; None lets the reader find one, an empty text does without it.

    `depth_camera_info` is that of a depth camera of its own, whose depth is not aligned to colour.
    """

    color: str | None = None
    depth: str | None = None
    camera_info: str | None = None
    truth: str | None = None
    depth_camera_info: str | None = None


@dataclass(frozen=True)
class FirstImage:
    """What the first message of an image topic says."""

    encoding: str
    frame_id: str

    @property
    def is_depth(self) -> bool:
        """By its encoding (or the format text of a compressed image)."""
        return "compressedDepth" in self.encoding or self.encoding in DEPTH_ENCODINGS


def find_topics(wanted: BagTopics, topics: Mapping[str, Topic], first: Mapping[str, FirstImage]) -> BagTopics:
    """`wanted` with every None replaced by a topic's name or "".

    Args:
        topics: all topics of the recording.
        first: the first message of every image topic that holds one.

    Raises:
        BagError: a named topic is not there or of the wrong type, no image topic, or depth that is not aligned.
    """
    _check_named(wanted, topics, first)
    colors = [name for name, image in first.items() if not image.is_depth]
    depths = [name for name, image in first.items() if image.is_depth]
    color = wanted.color if wanted.color is not None else _best(colors, _COLOR_NAMES, ("color", "rgb"))
    depth = wanted.depth
    if depth is None:
        own = _own_cameras(color, depths, topics)
        depth = _find_depth(color, depths, first, own)
        if wanted.depth_camera_info is None and depth in own and first[depth].frame_id != _frame_of(color, first):
            wanted = replace(wanted, depth_camera_info=own[depth])
    if not color and not depth:
        raise BagError(
            f"no image topic: expected {IMAGE} or {COMPRESSED}; the recording holds {describe(topics.values())}"
        )
    info = wanted.camera_info
    if info is None:
        info = _find_camera_info(color or depth, topics)
    truth = wanted.truth
    if truth is None:
        truth = TRUTH if TRUTH in topics and topics[TRUTH].msgtype == HANDS else ""
    depth_info = wanted.depth_camera_info or ""
    return replace(wanted, color=color, depth=depth, camera_info=info, truth=truth, depth_camera_info=depth_info)


def describe(topics: Iterable[Topic]) -> str:
    """The topics of a recording in words, for error texts."""
    return ", ".join(f"{t.name} ({t.msgtype}, {t.count})" for t in topics) or "no messages at all"


def _check_named(wanted: BagTopics, topics: Mapping[str, Topic], first: Mapping[str, FirstImage]) -> None:
    expected = {
        "color": (IMAGE, COMPRESSED),
        "depth": (IMAGE, COMPRESSED),
        "camera_info": (CAMERA_INFO,),
        "depth_camera_info": (CAMERA_INFO,),
        "truth": (HANDS,),
    }
    for role, types in expected.items():
        name = getattr(wanted, role)
        if not name:
            continue
        if name not in topics:
            raise BagError(f"{role} topic {name!r} is not in the recording; it holds {describe(topics.values())}")
        if topics[name].msgtype not in types:
            raise BagError(f"{role} topic {name!r}: expected {' or '.join(types)}, got {topics[name].msgtype}")
        if role in ("color", "depth") and name in first and first[name].is_depth != (role == "depth"):
            raise BagError(f"{role} topic {name!r}: it holds {first[name].encoding!r} images")


def _best(names: list[str], known: tuple[str, ...], hints: tuple[str, ...]) -> str:
    """A RealSense name with any transport, else one that says what it is, else the first by name."""
    ranked = [base + transport for base in known for transport in _TRANSPORTS]
    for name in ranked:
        if name in names:
            return name
    return min(names, key=lambda name: (not any(hint in name for hint in hints), name), default="")


def _own_cameras(color: str, depths: list[str], topics: Mapping[str, Topic]) -> dict[str, str]:
    """Depth topics that can be aligned by the recording itself: their own camera_info, and /tf_static."""
    if not color or TF_STATIC not in topics:
        return {}
    known = {name: _sibling(name) for name in depths}
    there = {topic.name for topic in topics.values() if topic.msgtype == CAMERA_INFO and topic.count}
    return {name: info for name, info in known.items() if info in there and info != _sibling(color)}


def _frame_of(color: str, first: Mapping[str, FirstImage]) -> str:
    return first[color].frame_id if color in first else ""


def _find_depth(color: str, depths: list[str], first: Mapping[str, FirstImage], own: Mapping[str, str]) -> str:
    if not color or not depths:
        return _best(depths, _DEPTH_NAMES, ("aligned", "registered", "depth"))
    frame = _frame_of(color, first)
    aligned = [name for name in depths if first[name].frame_id == frame]
    if not aligned and own:
        return _best(list(own), (), ("depth",))
    if not aligned:
        frames = ", ".join(f"{name} in {first[name].frame_id!r}" for name in depths)
        raise BagError(
            f"no depth topic is aligned to colour: {color} is in frame {frame!r}, but {frames}. Record the aligned "
            "topic (realsense: align_depth.enable:=true), or depth with its camera_info and /tf_static; name the depth "
            "topic if it is aligned all the same, or give an empty name to do without"
        )
    return _best(aligned, _DEPTH_NAMES, ("aligned", "registered", "depth_to"))


def _find_camera_info(image: str, topics: Mapping[str, Topic]) -> str:
    """The camera_info beside the image topic; else the only one there is; else none."""
    infos = [topic.name for topic in topics.values() if topic.msgtype == CAMERA_INFO and topic.count]
    sibling = _sibling(image)
    if sibling in infos:
        return sibling
    return infos[0] if len(infos) == 1 else ""


def _sibling(image: str) -> str:
    """Where the camera_info of an image topic is, by custom."""
    for transport in _TRANSPORTS[1:]:
        image = image.removesuffix(transport)
    return image.rsplit("/", 1)[0] + "/camera_info"
