"""The node's input side without image topics: a RealSense read in a thread of the node, images published on request.

What it publishes is what realsense-ros would: colour, depth aligned to colour, camera_info of one stamp, and the
camera's frames, so that RViz, a recorder or another node need not know who reads the camera.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from hand_pose_ros.config import CameraConfig, TopicConfig
from hand_pose_ros.options import ConfigError
from hand_pose_ros.ros.ending import until_shutdown
from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.ros.outputs import LATCHED_QOS, OUTPUT_QOS
from hand_pose_ros.sources import image_messages
from hand_pose_ros.sources.frames import FrameMaker
from hand_pose_ros.sources.pairing import UNPAIRED
from hand_pose_ros.sources.realsense import RealSense, camera_frames
from hand_pose_ros.sources.realsense_sdk import CameraMissing
from hand_pose_ros.sources.scene_messages import header_of, quaternion, vector
from hand_pose_ros.types import Frame

# From a link's axes (x forward, y left, z up) to an optical frame's (x right, y down, z forward), REP-103.
_OPTICAL: Final = (-0.5, 0.5, -0.5, 0.5)


@dataclass(frozen=True)
class CameraFrame:
    """A frame as the camera gave it; `arrived_s` is monotonic time."""

    frame: Frame
    arrived_s: float

    def decode(self, make_frame: FrameMaker) -> Frame:
        """The frame without the lens' distortion."""
        raw = self.frame
        return make_frame(raw.stamp_ns, raw.frame_id, raw.intrinsics, raw.color, raw.depth)


class CameraInput:
    """Frames of a RealSense go to `deliver`, in a thread of their own; stands in for `Inputs`.

    Args:
        node: publishes and logs.
        camera: which camera, size and rate.
        topics: whether colour and depth are used, and where they are published.
        deliver: called in the thread with every frame.
        failed: called in the thread with an error that is a fault of ours.

    Raises:
        ConfigError: simulated time, which a camera does not know.
        CameraError: pyrealsense2 is not installed, or the camera cannot be used as asked for. One that is not there is
            waited for.
    """

    def __init__(
        self,
        node: Node,
        camera: CameraConfig,
        topics: TopicConfig,
        deliver: Callable[[CameraFrame], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        if node.get_parameter("use_sim_time").value:
            raise ConfigError(
                "camera.source: expected topics with use_sim_time, since a camera's stamps are of the system's clock; "
                "got pyrealsense2"
            )
        self._camera = RealSense(camera, color=topics.use_color, depth=topics.use_depth)
        with contextlib.suppress(CameraMissing):
            self._camera.check()
        self._node, self._deliver, self._failed = node, deliver, failed
        self._topics = CameraTopics(node, topics, self._camera) if camera.publish else None
        self._heard = self._open = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hand_pose_camera", daemon=True)
        self._thread.start()

    @property
    def topics(self) -> list[str]:
        """What is read, in place of topic names."""
        serial = self._camera.config.serial
        return [f"RealSense {serial} (pyrealsense2)" if serial else "RealSense (pyrealsense2)"]

    @property
    def drops(self) -> Mapping[str, int]:
        """Framesets that came without one of their streams."""
        return Counter({UNPAIRED: self._camera.incomplete}) if self._camera.incomplete else Counter()

    @property
    def waiting(self) -> int:
        """Images that wait for others: none, the SDK pairs them."""
        return 0

    def facts(self) -> Mapping[str, str]:
        """For /diagnostics: which camera, and how it is connected."""
        return {"camera": self._camera.about.text() if self._open else "not connected"}

    def reset(self) -> None:
        """Nothing is kept."""

    def adapt(self) -> None:
        """Nothing to be adapted to."""

    def silent(self) -> tuple[str, ...]:
        """The camera, where nothing came since the last call."""
        heard, self._heard = self._heard, False
        return () if heard else tuple(self.topics)

    def close(self) -> None:
        """End the thread, which closes the camera, and take the topics back."""
        self._end.set()
        self._thread.join()
        if self._topics is not None:
            self._topics.close()

    def _run(self) -> None:
        try:
            for frame in camera_frames(self._camera, lambda: not self._end.is_set(), self._say):
                self._heard = True
                self._deliver(CameraFrame(frame, time.monotonic()))
                if self._topics is not None:
                    with until_shutdown(self._node.context):
                        self._topics.publish(frame)
        except BaseException as error:
            self._failed(error)
            raise

    def _say(self, text: str, good: bool) -> None:
        self._open = good or self._open
        logger = self._node.get_logger()
        if good:
            logger.info(text)
        else:
            self._open = False
            logger.warning(text)


class CameraTopics:
    """The camera's images, built only for topics that somebody listens to, and its frames."""

    def __init__(self, node: Node, topics: TopicConfig, camera: RealSense) -> None:
        self._node, self._camera = node, camera
        self._color = node.create_publisher(Image, topics.color, OUTPUT_QOS)
        self._depth = node.create_publisher(Image, topics.depth, OUTPUT_QOS)
        # Beside the depth images too: RViz's DepthCloud and depth_image_proc look for it there.
        places = {topics.camera_info, f"{topics.depth.rpartition('/')[0]}/camera_info"}
        self._infos = [node.create_publisher(CameraInfo, topic, OUTPUT_QOS) for topic in sorted(places)]
        self._frames = node.create_publisher(TFMessage, "/tf_static", LATCHED_QOS)
        self._latched = ""

    def publish(self, frame: Frame) -> None:
        """Send what is asked for; the frames once per camera."""
        header = header_of(make, frame.stamp_ns, frame.frame_id)
        if self._latched != self._camera.about.serial:
            self._latched = self._camera.about.serial
            self._frames.publish(camera_transforms(self._camera, frame))
        for publisher in self._infos:
            if publisher.get_subscription_count() > 0:
                publisher.publish(image_messages.camera_info(make, header, frame.intrinsics))
        if frame.color is not None and self._color.get_subscription_count() > 0:
            self._color.publish(image_messages.color_image(make, header, frame.color))
        if frame.depth is not None and self._depth.get_subscription_count() > 0:
            self._depth.publish(image_messages.depth_image(make, header, frame.depth))

    def close(self) -> None:
        """Take the topics back."""
        for publisher in (self._color, self._depth, *self._infos, self._frames):
            self._node.destroy_publisher(publisher)


def camera_transforms(camera: RealSense, frame: Frame) -> Any:
    """TFMessage from `<name>_link`, which is the depth camera's place as in realsense-ros, to the images' frame."""
    x, y, z = camera.color_in_depth
    turned = make(
        "geometry_msgs/msg/Transform",
        translation=vector(make, "Vector3", (z, -x, -y)),
        rotation=quaternion(make, _OPTICAL),
    )
    stamped = make(
        "geometry_msgs/msg/TransformStamped",
        header=header_of(make, frame.stamp_ns, f"{camera.config.name}_link"),
        child_frame_id=frame.frame_id,
        transform=turned,
    )
    return make("tf2_msgs/msg/TFMessage", transforms=[stamped])
