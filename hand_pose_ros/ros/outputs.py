"""The node's output side: one publisher per result, and what is sent for one scene."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, MultiDOFJointState
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hand_pose_ros.config import PublishConfig
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.msg import HandArray, HandMeshArray, HandMeshTopology, ObjectPoseArray
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.inside import InsideView, parse_joint
from hand_pose_ros.ros.diagnostics import Once
from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.ros.tracked import TrackedHands
from hand_pose_ros.ros.vision import vision_class
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources import detection_messages, image_messages, scene_markers, scene_messages
from hand_pose_ros.sources.named_poses import named_poses
from hand_pose_ros.types import ByteArray, Frame, Scene
from hand_pose_ros.visualization.inside import draw_inside
from hand_pose_ros.visualization.overlay import background, draw_scene

# Reliable matches every subscriber, RViz's displays too; a short queue, since the next result replaces this one.
OUTPUT_QOS: Final = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS: Final = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
# That of tf2_ros.TransformBroadcaster, which sends the same message to the same topic.
_TF_QOS: Final = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)


# Between two messages of mesh markers (s): thousands of points as Python objects cost some 20 ms per hand.
_MESH_MARKERS_PERIOD: Final = 0.2


class Outputs:
    """The publishers of a node; they are silent while the node is not active.

    Args:
        node: publishes.
        config: what to publish; may be replaced while running (`config` attribute).
        models: the hand models that the meshes come from.
        inside: shows what the network looks at; None: there is no such topic.
        patience_s: after so long without a result no hand counts as tracked.

    Attributes:
        tracked: whether each hand is seen at present.

    Raises:
        ConfigError: vision_msgs is asked for and not installed.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: PublishConfig,
        models: Mapping[Side, HandModel],
        inside: InsideView | None = None,
        patience_s: float = 0.5,
    ) -> None:
        self.config = config
        self._node = node
        self._next_mesh_markers = 0.0
        self._faces = {side: model.faces for side, model in models.items()}
        self._num_vertices = models[Side.RIGHT].num_vertices
        self._publishers: list[Any] = []
        detections = _detections_class(node, config)
        self._hands = self._create(HandArray, "~/hands")
        self._meshes = self._create(HandMeshArray, "~/meshes")
        self._topology = self._create(HandMeshTopology, "~/mesh_topology", LATCHED_QOS)
        self._wrists = {side: self._create(PoseStamped, f"~/{side.value}_wrist") for side in Side}
        self._objects = self._create(ObjectPoseArray, "~/objects")
        self._detections = None if detections is None else self._create(detections, "~/detections")
        self._markers = self._create(MarkerArray, "~/markers")
        self._mesh_markers = self._create(MarkerArray, "~/mesh_markers")
        self._overlay = self._create(Image, "~/overlay")
        self._look = inside
        self._inside = None if inside is None else self._create(Image, "~/inside")
        self._not_seen = Once(lambda text: node.get_logger().warning(f"~/inside: {text}"))
        self._named = self._create(MultiDOFJointState, "~/named_poses")
        self._flags = {side: self._create(Bool, f"~/{side.value}_tracked", LATCHED_QOS) for side in Side}
        self.tracked = TrackedHands(lambda side, on: self._flags[side].publish(Bool(data=on)), patience_s)
        self._tf = self._create(TFMessage, "/tf", _TF_QOS)

    def close(self) -> None:
        """Take the topics back."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def latch(self, hand_model: str) -> None:
        """Send what does not change: the triangles of the meshes, under the hand model's name."""
        left, right = self._faces[Side.LEFT], self._faces[Side.RIGHT]
        self._topology.publish(scene_messages.mesh_topology(make, hand_model, self._num_vertices, left, right))
        self.tracked.nothing()

    def publish(self, frame: Frame, seen: Scene, scene: Scene) -> None:
        """Send one result.

        Args:
            frame: the images it was made from.
            seen: the result in the camera's frame (for the overlay).
            scene: the result in the frame it is published in.
        """
        config = self.config
        size = (frame.intrinsics.width, frame.intrinsics.height)
        self._hands.publish(scene_messages.hand_array(make, scene, size))
        self._objects.publish(scene_messages.object_array(make, scene))
        if config.meshes:
            self._meshes.publish(scene_messages.mesh_array(make, scene))
        if config.tf:
            frames = scene_markers.transforms(make, scene, config.tf_prefix, config.tf_joints)
            if frames.transforms:
                self._tf.publish(frames)
        self._publish_for_others(scene)
        self.tracked.seen({hand.side for hand in scene.hands}, time.monotonic())
        self._publish_pictures(frame, seen, scene)

    def _publish_for_others(self, scene: Scene) -> None:
        """The same results in messages that programs know which do not know ours: built only while somebody listens."""
        for side, hand in scene_markers.surest_hands(scene).items():
            if _wanted(self._wrists[side]):
                self._wrists[side].publish(scene_messages.wrist_pose_stamped(make, scene, hand))
        if _wanted(self._named):
            self._named.publish(named_poses(make, scene))
        if self._detections is not None and _wanted(self._detections):
            self._detections.publish(detection_messages.detection_3d_array(make, scene))

    def _publish_pictures(self, frame: Frame, seen: Scene, scene: Scene) -> None:
        """What people look at: built only while somebody does."""
        if _wanted(self._markers):
            self._markers.publish(scene_markers.marker_array(make, scene, uncertainty=self.config.uncertainty))
        if _wanted(self._mesh_markers) and time.monotonic() >= self._next_mesh_markers:
            self._next_mesh_markers = time.monotonic() + _MESH_MARKERS_PERIOD
            self._mesh_markers.publish(scene_markers.mesh_markers(make, scene, self._faces))
        if _wanted(self._overlay):
            self._send(self._overlay, seen, draw_scene(background(frame), seen, frame.intrinsics, self._faces))
        if self._look is not None and _wanted(self._inside):
            self._publish_inside(self._look, frame, seen)

    def _publish_inside(self, view: InsideView, frame: Frame, seen: Scene) -> None:
        """One more run of the network, on the window of the hands."""
        try:
            side, joint = parse_joint(self.config.inside)
            look = view.look(frame, seen.hands, side, joint)
        except ConfigError as error:  # no query of its own in this representation, or a frame without colour
            self._not_seen(str(error))
            return
        self._send(self._inside, seen, draw_inside(look))

    def _send(self, publisher: Any, seen: Scene, picture: ByteArray) -> None:
        header = scene_messages.header_of(make, seen.stamp_ns, seen.frame_id)
        publisher.publish(image_messages.color_image(make, header, picture))

    def _create(self, kind: type, topic: str, qos: QoSProfile = OUTPUT_QOS) -> Any:
        self._publishers.append(self._node.create_lifecycle_publisher(kind, topic, qos))
        return self._publishers[-1]


def _detections_class(node: LifecycleNode, config: PublishConfig) -> type | None:
    """Detection3DArray, or None where it is not to be published."""
    if config.detections == "never":
        return None
    try:
        return vision_class("publish.detections", detection_messages.DETECTION_3D_ARRAY)
    except ConfigError as error:
        if config.detections == "always":
            raise
        node.get_logger().info(f"~/detections is left out: {error}")
        return None


def _wanted(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count() > 0)
