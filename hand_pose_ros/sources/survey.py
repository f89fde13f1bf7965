"""What was seen of a camera's topics in a few seconds, and what is wrong with it. Without ROS: `ros.survey` listens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.geometry.camera import SAME_ASPECT

COLOR: Final = "color"
DEPTH: Final = "depth"
INFO: Final = "camera_info"
DEPTH_INFO: Final = "depth_camera_info"
_INFOS: Final = (INFO, DEPTH_INFO)
# Aspect ratios that count as one, as the node takes them: depth is stretched pixel by pixel, K can be rounded.
_ASPECTS: Final = {DEPTH: 0.0, INFO: SAME_ASPECT}
# Of the images of a stream that should have come, fewer than this part are called a loss.
_LOSS: Final = 0.1
# Of the colour images, so many should have their depth.
_PAIRED: Final = 0.9
# Stamps this far (s) from this machine's clock are of another clock; this far, they are merely late.
_OTHER_CLOCK: Final = 60.0
_LATE: Final = 0.5
_FASTDDS_REMEDY: Final = (
    "Fast DDS loses large images: give the camera and the node config/fastdds_large_images.xml, or use "
    "RMW_IMPLEMENTATION=rmw_cyclonedds_cpp"
)


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warn"
    PROBLEM = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis; what is not well has a remedy, in `remedy` or in the text itself."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class StreamSeen:
    """One topic: who publishes it, and what came.

    Attributes:
        topic, msgtype: what was listened to.
        offered: message types that the topic has.
        publishers: how many.
        reliability: "reliable", "best_effort" or "" without publishers.
        stamps_ns: of the messages, in the order of arrival.
        delays_s: arrival by this machine's clock minus the stamp.
        size: (width, height) of the last message, None without.
        about: encoding or the like, of the last message.
        problem: why the last message cannot be used, "" where it can.
    """

    topic: str
    msgtype: str
    offered: tuple[str, ...] = ()
    publishers: int = 0
    reliability: str = ""
    stamps_ns: tuple[int, ...] = ()
    delays_s: tuple[float, ...] = ()
    size: tuple[int, int] | None = None
    about: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """What was seen: streams by their names "color", "depth", "camera_info" and "depth_camera_info", and image topics
    there are besides.
    """

    seconds: float
    middleware: str
    streams: Mapping[str, StreamSeen]
    others: Mapping[str, str] = field(default_factory=dict)


def findings(survey: Survey, config: NodeConfig) -> list[Finding]:
    """What is well and what is not."""
    found = [_stream_finding(name, seen, survey) for name, seen in survey.streams.items()]
    images = [
        seen for name, seen in survey.streams.items() if name not in _INFOS and seen.stamps_ns and not seen.problem
    ]
    found += _sizes(survey.streams, config)
    found += _pairing(survey.streams, config)
    return found + _clock(images)


def _stream_finding(name: str, seen: StreamSeen, survey: Survey) -> Finding:
    if seen.offered and seen.msgtype not in seen.offered:
        text = f"{seen.topic} is {', '.join(seen.offered)}, expected {seen.msgtype}"
        return Finding(Level.PROBLEM, name, text, f"set topics.{name} and topics.{name}_transport to what there is")
    if not seen.publishers:
        like = [topic for topic, msgtype in survey.others.items() if msgtype == seen.msgtype]
        there = f"{seen.msgtype} there is: {', '.join(sorted(like))}" if like else f"there is no {seen.msgtype} at all"
        remedy = f"set topics.{name}; {there}. Is the camera's ROS_DOMAIN_ID the same?"
        return Finding(Level.PROBLEM, name, f"nobody publishes {seen.topic}", remedy)
    if not seen.stamps_ns:
        text = f"nothing came on {seen.topic} in {survey.seconds:g} s, though somebody publishes it"
        return Finding(Level.PROBLEM, name, text, _transport_remedy(survey, "is the camera running?"))
    if seen.problem:
        return Finding(Level.PROBLEM, name, seen.problem)  # the text says what to do
    rate, lost = rate_and_loss(seen.stamps_ns)
    size = "" if seen.size is None else f"{seen.size[0]}x{seen.size[1]} "
    text = f"{seen.topic}: {size}{seen.about}, {rate:.1f} Hz, {seen.reliability}"
    if name not in _INFOS and lost > _LOSS:
        return Finding(Level.WARNING, name, f"{text}; {lost:.0%} of the images are lost", _transport_remedy(survey, ""))
    return Finding(Level.OK, name, text)


def _transport_remedy(survey: Survey, otherwise: str) -> str:
    if "fastrtps" in survey.middleware:
        return f"{otherwise} {_FASTDDS_REMEDY}".strip()
    return otherwise or "fewer or smaller images: a lower rate, or topics.color_transport: compressed"


def rate_and_loss(stamps_ns: Sequence[int]) -> tuple[float, float]:
    """Images per second by their stamps, and which part of those that should have come did not."""
    stamps = np.unique(np.asarray(stamps_ns, dtype=np.int64))
    if len(stamps) < 2:
        return 0.0, 0.0
    gaps = np.diff(stamps)
    period = float(np.median(gaps))
    expected = float(np.rint(gaps / period).clip(1).sum()) + 1
    return (len(stamps) - 1) / (float(stamps[-1] - stamps[0]) * 1e-9), 1.0 - len(stamps) / expected


def _sizes(streams: Mapping[str, StreamSeen], config: NodeConfig) -> list[Finding]:
    """Aligned depth and camera_info show what the colour image shows: they have its aspect ratio."""
    sizes = {name: seen.size for name, seen in streams.items() if seen.size is not None and not seen.problem}
    color = sizes.pop(COLOR, None)
    sizes.pop(DEPTH_INFO, None)
    if config.topics.depth_camera_info:
        sizes.pop(DEPTH, None)  # it is aligned by the node
    remedies = {
        DEPTH: "use the depth aligned to colour (realsense: align_depth.enable:=true), or set topics.depth_camera_info "
        "so that the node aligns it",
        INFO: "use the camera_info of the colour image",
    }
    return [
        Finding(Level.PROBLEM, name, f"{_by(size)} beside colour of {_by(color)}", remedies[name])
        for name, size in sizes.items()
        if color is not None and not _same_view(size, color, _ASPECTS[name])
    ]


def _same_view(one: tuple[int, int], other: tuple[int, int], slack: float) -> bool:
    """Whether two sizes have one aspect ratio."""
    ratio = one[0] * other[1] / (one[1] * other[0])
    return abs(ratio - 1.0) <= slack


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _pairing(streams: Mapping[str, StreamSeen], config: NodeConfig) -> list[Finding]:
    """Whether colour images have depth of their instant."""
    color, depth = streams.get(COLOR), streams.get(DEPTH)
    if color is None or depth is None or not color.stamps_ns or not depth.stamps_ns:
        return []
    theirs = np.sort(np.asarray(depth.stamps_ns, dtype=np.int64))
    # At both ends the companion may have come before or after the survey.
    inner = [stamp for stamp in color.stamps_ns if theirs[0] <= stamp <= theirs[-1]] or list(color.stamps_ns)
    apart = np.array([np.abs(theirs - stamp).min() for stamp in inner]) * 1e-6
    share = float((apart <= config.sync.tolerance_ms).mean())
    text = f"{share:.0%} of the colour images have depth within {config.sync.tolerance_ms:g} ms"
    if share >= _PAIRED:
        return [Finding(Level.OK, "pairing", text)]
    half_frame = 500.0 / max(rate_and_loss(color.stamps_ns)[0], 1.0)
    usual = float(np.quantile(apart, _PAIRED))
    remedy = "let the camera synchronise (realsense: enable_sync:=true)"
    if usual < half_frame:
        remedy += f", or set sync.tolerance_ms to {np.ceil(usual):.1f} (below half a frame, {half_frame:.0f} ms)"
    return [Finding(Level.PROBLEM if share < 0.5 else Level.WARNING, "pairing", text, remedy)]


def _clock(images: Sequence[StreamSeen]) -> list[Finding]:
    """How old images are when they come."""
    delays = [delay for seen in images for delay in seen.delays_s]
    if not delays:
        return []
    delay = float(np.median(delays))
    text = f"images are {delay * 1e3:.0f} ms old when they come"
    if abs(delay) > _OTHER_CLOCK:
        return [
            Finding(
                Level.WARNING,
                "clock",
                f"stamps are {abs(delay):.0f} s {'behind' if delay > 0 else 'ahead of'} this machine's clock",
                "for a recording, set use_sim_time and play it with --clock; else set both machines' clocks (chrony)",
            )
        ]
    if delay > _LATE or delay < -_LATE:
        return [Finding(Level.WARNING, "clock", text, "set both machines' clocks (chrony), or relieve the network")]
    return [Finding(Level.OK, "clock", text)]
