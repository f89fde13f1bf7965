"""Images as cameras send them, over real DDS: encodings, transports, sizes, lenses, and depth that is not aligned."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

import fake_pipeline
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from ros_camera import HEIGHT, WIDTH, Camera
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.ros.node import HandPoseNode
from hand_pose_ros.ros.outputs import LATCHED_QOS
from hand_pose_ros.sources.decode import encode_compressed_color, encode_compressed_depth
from hand_pose_ros.sources.rvl import encode_rvl
from hand_pose_ros.types import Frame, Scene

QUIET = {"publish.diagnostics_period": 60.0, "pipeline.mesh": False}
COLOR = np.array([200, 120, 40], dtype=np.uint8)
GREY = round(float(COLOR @ np.array([0.299, 0.587, 0.114])))
# ITU-R BT.601.
Y, U, V = 16 + 0.257 * 200 + 0.504 * 120 + 0.098 * 40, 128 - 0.148 * 200 - 0.291 * 120 + 0.439 * 40, 168.8


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[fake_pipeline.FakePipeline]:
    return fake_pipeline.installed(monkeypatch, [Scene(0, "")])


def started(ros: Ros, **parameters: Any) -> HandPoseNode:
    node: HandPoseNode = ros.node(HandPoseNode, parameters={**QUIET, **parameters})
    node.start()
    ros.spin(node)
    return node


def frame_of(pipeline: fake_pipeline.FakePipeline, camera: Camera, **fields: Any) -> Frame:
    """What the pipeline is given of an image like this; it is published until it comes."""
    first = camera.stamp + 1

    def came() -> bool:
        return bool(pipeline.frames) and pipeline.frames[-1].stamp_ns >= first * 10**9

    wait_for(lambda: came() or not camera.shoot(**fields), "a frame", pause=0.05)
    return pipeline.frames[-1]


def tiled(*rows: list[float]) -> array.array[int]:
    """The bytes of an image in which a small block repeats."""
    block = np.rint(np.array(rows)).astype(np.uint8)
    return array.array("B", np.tile(block, (HEIGHT // len(block), WIDTH // 2)).tobytes())


R, G, B = (float(value) for value in COLOR)
ENCODINGS = {
    "rgb8": (tiled([R, G, B] * 2), 3, COLOR),
    "bgr8": (tiled([B, G, R] * 2), 3, COLOR),
    "rgba8": (tiled([R, G, B, 9] * 2), 4, COLOR),
    "bgra8": (tiled([B, G, R, 9] * 2), 4, COLOR),
    "mono8": (tiled([GREY, GREY]), 1, np.full(3, GREY)),
    "yuv422": (tiled([U, Y, V, Y]), 2, COLOR),
    "yuv422_yuy2": (tiled([Y, U, Y, V]), 2, COLOR),
    "bayer_rggb8": (tiled([R, G], [G, B]), 1, COLOR),
    "bayer_bggr8": (tiled([B, G], [G, R]), 1, COLOR),
    "bayer_gbrg8": (tiled([G, B], [R, G]), 1, COLOR),
    "bayer_grbg8": (tiled([G, R], [B, G]), 1, COLOR),
}


def test_colour_in_every_encoding(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    """One node, and a camera that changes its mind."""
    started(ros)
    camera = Camera(ros)
    camera.connect()
    for encoding, (data, pixel, meant) in ENCODINGS.items():
        frame = frame_of(pipelines[0], camera, color={"encoding": encoding, "step": pixel * WIDTH, "data": data})
        assert frame.color is not None, encoding
        error = np.abs(frame.color.astype(int) - meant.astype(int)).max()
        assert error <= 4, f"{encoding}: {frame.color[2, 2]}"


def test_depth_in_every_encoding(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    started(ros)
    camera = Camera(ros)
    camera.connect()
    metres = np.linspace(0.3, 1.2, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    metres[:4] = 0.0
    holes = np.where(metres > 0, metres, np.nan).astype("<f4")
    holes[1], holes[2] = np.inf, -1.0
    units = np.rint(metres * 1000)
    for encoding, image, big in (
        ("16UC1", units.astype("<u2"), 0),
        ("16UC1", units.astype(">u2"), 1),
        ("32FC1", holes, 0),
    ):
        fields = {"encoding": encoding, "step": image.itemsize * WIDTH, "is_bigendian": big}
        frame = frame_of(pipelines[0], camera, data=array.array("B", image.tobytes()), **fields)
        np.testing.assert_allclose(frame.depth, metres, atol=6e-4)
        assert not frame.depth[:4].any()


def test_compressed_transports(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    """JPEG and PNG; depth as PNG, as RVL, and 32FC1 as quantised inverse depth."""
    started(ros, **{"topics.color_transport": "compressed", "topics.depth_transport": "compressedDepth"})
    camera = ros.node(Node, node_name="packed")
    base = "/camera/camera"
    color = camera.create_publisher(CompressedImage, f"{base}/color/image_raw/compressed", 5)
    depth = camera.create_publisher(CompressedImage, f"{base}/aligned_depth_to_color/image_raw/compressedDepth", 5)
    info = camera.create_publisher(CameraInfo, f"{base}/color/camera_info", 5)
    picture = np.broadcast_to(COLOR, (HEIGHT, WIDTH, 3)).copy()
    metres = np.linspace(0.3, 1.2, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    units = np.rint(metres * 1000).astype(np.uint16)
    png = encode_compressed_depth(metres)
    a, b = 100.0, 1.0 - 100.0 / 10.0  # of depth_image_transport for readings of up to 10 m
    inverse = encode_compressed_depth((np.rint(a / metres + b) * 1e-3).astype(np.float32))[1]
    header = np.array([0], "<i4").tobytes() + np.array([a, b], "<f4").tobytes()
    rvl = header + np.array([WIDTH, HEIGHT], "<u4").tobytes() + encode_rvl(units.ravel())
    (pipeline,) = pipelines
    second = 0
    for (color_format, color_data), (depth_format, depth_data) in (
        (encode_compressed_color(picture), png),
        (encode_compressed_color(picture, lossless=True), ("16UC1; compressedDepth rvl", rvl)),
        (encode_compressed_color(picture), ("32FC1; compressedDepth png", header + inverse[12:])),
    ):
        first = second + 1

        def came(packed: Any = ((color, color_format, color_data), (depth, depth_format, depth_data))) -> bool:
            nonlocal second
            second += 1
            stamped = Header(stamp=make("builtin_interfaces/msg/Time", sec=second), frame_id="camera")
            k = np.array([60.0, 0, 31.5, 0, 60, 23.5, 0, 0, 1])
            info.publish(CameraInfo(header=stamped, width=WIDTH, height=HEIGHT, k=k))
            for publisher, text, data in packed:
                publisher.publish(CompressedImage(header=stamped, format=text, data=array.array("B", data)))
            return bool(pipeline.frames) and pipeline.frames[-1].stamp_ns >= first * 10**9  # noqa: B023

        wait_for(came, f"a frame of {color_format} and {depth_format}", pause=0.05)
        frame = pipeline.frames[-1]
        assert np.abs(frame.color.astype(int) - COLOR).max() <= 3
        np.testing.assert_allclose(frame.depth, metres, atol=0.008 if "32FC1" in depth_format else 6e-4)


@pytest.mark.parametrize("size", [(640, 480), (848, 480), (1280, 720), (1920, 1080)])
def test_image_sizes(ros: Ros, pipelines: list[fake_pipeline.FakePipeline], size: tuple[int, int]) -> None:
    """And a camera_info that was calibrated at another size of the same view."""
    started(ros)
    camera = Camera(ros)
    width, height = size
    image = {"width": width, "height": height, "step": 3 * width, "data": array.array("B", bytes(3 * width * height))}
    depth = {"width": width, "height": height, "step": 2 * width, "data": array.array("B", bytes(2 * width * height))}
    k = np.array([1800.0, 0, width - 0.5, 0, 1800, height - 0.5, 0, 0, 1])
    info = {"width": 2 * width, "height": 2 * height, "k": k}
    frame = frame_of(pipelines[0], camera, info=info, color=image, **depth)
    assert frame.intrinsics.width == width and frame.intrinsics.fx == pytest.approx(900.0)
    assert frame.intrinsics.cx == pytest.approx((width - 1) / 2)


def test_camera_info_that_comes_late_and_changes(ros: Ros, pipelines: list[fake_pipeline.FakePipeline]) -> None:
    """The calibration of the moment holds; before the first nothing is guessed."""
    node = started(ros, **{"topics.camera_info": "/late/camera_info"})
    camera = Camera(ros)
    wait_for(lambda: node.monitor.totals().drops["no_camera_info"] > 0 or not camera.shoot(), "a drop", pause=0.05)
    assert not pipelines[0].frames
    late = ros.node(Node, node_name="late").create_publisher(CameraInfo, "/late/camera_info", 5)
    for focal in (50.0, 70.0):
        k = np.array([focal, 0, 31.5, 0, focal, 23.5, 0, 0, 1])

        def shown(focal: float = focal, k: Any = k) -> bool:
            late.publish(CameraInfo(width=WIDTH, height=HEIGHT, k=k))
            camera.shoot()
            return bool(pipelines[0].frames) and pipelines[0].frames[-1].intrinsics.fx == focal

        wait_for(shown, f"frames of focal length {focal}", pause=0.05)


@pytest.mark.parametrize(
    ("model", "lens"),
    [
        ("plumb_bob", [0.4, -0.1, 0.0, 0.0, 0.0]),
        ("rational_polynomial", [0.4, -0.1, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0]),
        ("equidistant", [-0.2, 0.05, 0.0, 0.0]),
    ],
)
def test_lenses_are_taken_out(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], model: str, lens: list[float]
) -> None:
    started(ros)
    picture, depth = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint16)
    picture[5:9, 5:9], depth[5:9, 5:9] = 255, 500
    frame = frame_of(
        pipelines[0],
        Camera(ros),
        info={"distortion_model": model, "d": array.array("d", lens)},
        color={"data": array.array("B", picture.tobytes())},
        data=array.array("B", depth.astype("<u2").tobytes()),
    )
    assert frame.intrinsics.distortion == () and frame.intrinsics.fx == 60.0
    for image in (frame.color[..., 0] > 127, frame.depth > 0):
        assert np.abs(np.argwhere(image).mean(axis=0) - 6.5).max() > 1.0


def test_depth_that_is_not_aligned_is_aligned_by_the_static_transforms(
    ros: Ros, pipelines: list[fake_pipeline.FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Depth of another size, focal length and place: first the transform is missing, then a wall is where it should."""
    node = started(ros, **{"topics.depth_camera_info": "/camera/camera/depth/camera_info"})
    logged: list[str] = []
    monkeypatch.setattr(node, "log_error", logged.append)
    camera = Camera(ros)
    beside = ros.node(Node, node_name="beside")
    info = beside.create_publisher(CameraInfo, "/camera/camera/depth/camera_info", 5)
    width, height, focal = 32, 24, 30.0
    k = np.array([focal, 0, 15.5, 0, focal, 11.5, 0, 0, 1])
    # The left half of a wall at 0.6 m, seen from 5 cm to the left.
    wall = np.where(np.arange(width) < 16, 600, 0).astype("<u2")[None].repeat(height, axis=0)
    fields: dict[str, Any] = {"width": width, "height": height, "step": 2 * width}
    fields["data"] = array.array("B", wall.tobytes())

    def shoot() -> int:
        info.publish(CameraInfo(width=width, height=height, k=k))
        return camera.shoot(**fields, header=depth_header(camera))

    wait_for(lambda: node.monitor.totals().drops["no_transform"] > 1 or not shoot(), "the drop", pause=0.05)
    assert len(logged) == 1 and "'camera_depth_optical_frame'" in logged[0] and "/tf_static" in logged[0]
    publish_static(beside)
    (pipeline,) = pipelines
    wait_for(lambda: bool(pipeline.frames) or not shoot(), "a frame", pause=0.05)
    frame = pipeline.frames[-1]
    assert frame.depth.shape == (HEIGHT, WIDTH) and frame.frame_id == "camera_color_optical_frame"
    # u = 60 * (x + 0.05) / 0.6 + 31.5: the wall ends 5 pixels to the right of the middle.
    seen = np.flatnonzero(frame.depth[20])
    assert (seen[0], seen[-1], len(seen)) == (5, 36, 32), "shifted by the baseline, and without holes"
    np.testing.assert_allclose(frame.depth[20, seen], 0.6, atol=1e-6)


def depth_header(camera: Camera) -> Header:
    """Of the depth image of the frame that is shot next."""
    stamp = make("builtin_interfaces/msg/Time", sec=camera.stamp + 1)
    return Header(stamp=stamp, frame_id="camera_depth_optical_frame")


def publish_static(node: Node) -> None:
    """A camera's frames as realsense-ros has them: both sensors hang on camera_link, through frames of their own."""
    half = math.sqrt(0.5)
    optical = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
    turned = Quaternion(z=half, w=half)
    tree = [
        ("camera_link", "camera_depth_frame", Vector3(), Quaternion(w=1.0)),
        ("camera_depth_frame", "camera_depth_optical_frame", Vector3(), optical),
        ("camera_link", "camera_color_frame", Vector3(y=0.05), Quaternion(w=1.0)),
        ("camera_color_frame", "camera_color_optical_frame", Vector3(), optical),
        ("base_link", "camera_link", Vector3(x=1.0), turned),
        ("loop_a", "loop_b", Vector3(), Quaternion(w=1.0)),
        ("loop_b", "loop_a", Vector3(), Quaternion(w=1.0)),
    ]
    publisher = node.create_publisher(TFMessage, "/tf_static", LATCHED_QOS)
    frames = [
        TransformStamped(
            header=Header(frame_id=parent), child_frame_id=child, transform=Transform(translation=t, rotation=q)
        )
        for parent, child, t, q in tree
    ]
    publisher.publish(TFMessage(transforms=frames))
