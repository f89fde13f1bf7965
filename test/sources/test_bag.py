"""Recordings: what is written is read again; broken ones give what is there and say what is not."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toy_recordings as toy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from hand_pose_ros.geometry.registration import DepthRegistration, Extrinsics
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader, read_scenes
from hand_pose_ros.sources.bag_storage import BagStorage
from hand_pose_ros.sources.bag_topics import BagTopics
from hand_pose_ros.sources.bag_writer import CAMERA_INFO_TOPIC, COLOR_TOPIC, DEPTH_TOPIC, BagWriter
from hand_pose_ros.sources.decode import encode_depth
from hand_pose_ros.sources.errors import BagError
from hand_pose_ros.sources.image_messages import camera_info, color_image, compressed_color, depth_image
from hand_pose_ros.sources.message_types import make, serialize, typestore
from hand_pose_ros.sources.scene_messages import header_of
from hand_pose_ros.types import Frame, Scene

COUNT = 8
SIZE = (64, 48)
FACES = {Side.LEFT: np.array([[0, 1, 2], [2, 1, 3]]), Side.RIGHT: np.array([[0, 2, 1], [2, 3, 1]])}
FRAMES = toy.frames(COUNT)
SCENES = toy.scenes(COUNT)


def write(path: Path, frames: list[Frame] | None = None, scenes: bool = True, **options: object) -> Path:
    """A recording of the toy frames, losslessly, with truth and results."""
    with BagWriter(path, **options) as bag:  # type: ignore[arg-type]
        bag.write_topology("toy", 12, FACES, toy.START_NS)
        for frame, scene in zip(FRAMES if frames is None else frames, SCENES, strict=False):
            bag.write_frame(frame, color="png")
            if scenes:
                bag.write_truth(scene, SIZE)
                bag.write_scene(scene, SIZE)
    return path


@pytest.fixture(scope="module")
def mcap(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("bag") / "toy.mcap", scenes=False).read_bytes()


@pytest.fixture(scope="module")
def plain_mcap(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("bag") / "toy.mcap", scenes=False, compress=False).read_bytes()


@pytest.fixture(scope="module")
def db3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("bag") / "toy.db3", scenes=False).read_bytes()


def assert_equal_frames(got: list[Frame], expected: list[Frame]) -> None:
    assert [f.stamp_ns for f in got] == [f.stamp_ns for f in expected]
    for a, b in zip(got, expected, strict=True):
        assert (a.frame_id, a.intrinsics) == (b.frame_id, b.intrinsics)
        for image, other in ((a.color, b.color), (a.depth, b.depth)):
            assert (image is None) == (other is None)
            if image is not None:
                np.testing.assert_array_equal(image, other)


def assert_equal_scenes(got: list[Scene], expected: list[Scene], *, meshes: bool = True) -> None:
    assert [(s.stamp_ns, s.frame_id) for s in got] == [(s.stamp_ns, s.frame_id) for s in expected]
    for a, b in zip(got, expected, strict=True):
        assert len(a.hands) == len(b.hands)
        for one, two in zip(a.hands, b.hands, strict=True):
            for name in ("side", "track_id", "state", "score", "roi"):
                assert getattr(one, name) == getattr(two, name)
            for name in ("joints", "joint_std", "joint_valid"):
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
            np.testing.assert_array_equal(one.wrist.quaternion, two.wrist.quaternion)
            assert (one.mano is None) == (two.mano is None)
            if one.mano is not None and two.mano is not None:
                np.testing.assert_array_equal(one.mano.hand_pose, two.mano.hand_pose)
            if meshes and two.vertices is not None:
                np.testing.assert_array_equal(one.vertices, two.vertices)
        for item, other in zip(a.objects, b.objects, strict=True):
            assert (item.name, item.score) == (other.name, other.score)
            np.testing.assert_allclose(item.rotation, other.rotation, atol=1e-6)
            np.testing.assert_array_equal(item.extent, other.extent)


@pytest.mark.parametrize("name", ["folder", "lone.mcap", "lone.db3"])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_round_trip(tmp_path: Path, name: str, storage: str) -> None:
    path = write(tmp_path / name, storage=storage)
    assert [item.name for item in tmp_path.iterdir()] == [name]
    with BagReader(path) as bag:
        assert bag.streams == ("color", "depth")
        assert bag.expected_frames == COUNT
        assert_equal_frames(list(bag), FRAMES)
        assert_equal_frames(list(bag.frames()), FRAMES)
        assert_equal_scenes(list(bag.truths.values()), SCENES, meshes=False)
        assert (bag.problems, bag.drops) == ([], {})
    assert_equal_scenes(read_scenes(path), SCENES)


@pytest.mark.parametrize("color", ["raw", "png", "jpeg"])
@pytest.mark.parametrize("depth", ["raw", "png"])
def test_transports(tmp_path: Path, color: str, depth: str) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for frame in FRAMES:
            bag.write_frame(frame, color=color, depth=depth)
    with BagReader(tmp_path / "bag") as bag:
        frames = list(bag)
    np.testing.assert_array_equal([f.depth for f in frames], [f.depth for f in FRAMES])
    difference = np.abs(np.array([f.color for f in frames], int) - np.array([f.color for f in FRAMES], int))
    assert difference.mean() <= (2.0 if color == "jpeg" else 0.0)


def test_writer_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "bag")
    with pytest.raises(BagError, match="exists already"):
        write(path)
    write(path, frames=FRAMES[:2], overwrite=True)
    with BagReader(path) as bag:
        assert len(list(bag)) == 2
    with pytest.raises(BagError, match="expected mcap or sqlite3, got 'bag'"):
        BagWriter(tmp_path / "other", storage="bag")
    with pytest.raises(ValueError, match="depth: expected one of raw, png"), BagWriter(tmp_path / "x") as writer:
        writer.write_frame(FRAMES[0], depth="jpeg")


def test_what_was_written_before_an_error_is_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on the way"), BagWriter(tmp_path / "bag.mcap") as writer:
        writer.write_frame(FRAMES[0], color="png")
        raise RuntimeError("on the way")
    with BagReader(tmp_path / "bag.mcap") as bag:
        assert_equal_frames(list(bag), FRAMES[:1])
        assert bag.problems == []


def test_lost_images_are_counted(tmp_path: Path) -> None:
    color, depth = (Frame(f.stamp_ns, f.frame_id, f.intrinsics, f.color) for f in FRAMES), FRAMES
    with BagWriter(tmp_path / "bag") as bag:
        for index, (alone, both) in enumerate(zip(color, depth, strict=True)):
            bag.write_frame(alone if index in (2, 5) else both, color="png")
    with BagReader(tmp_path / "bag") as bag:
        assert_equal_frames(list(bag), [f for i, f in enumerate(FRAMES) if i not in (2, 5)])
        assert bag.drops == {"unpaired": 2}


def test_one_stream_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "bag")
    with BagReader(path, BagTopics(depth="")) as bag:
        frames = list(bag)
        assert bag.streams == ("color",)
        assert all(f.depth is None for f in frames)
    with BagReader(path, BagTopics(color="")) as bag:
        frames = list(bag)
        assert bag.topics.camera_info == CAMERA_INFO_TOPIC
        assert all(f.color is None for f in frames)
        assert len(frames) == COUNT


def write_messages(path: Path, topics: dict[str, tuple[str, Callable[..., object]]]) -> Path:
    """topic -> (frame id, builder of (make, header, frame)), for each toy frame."""
    with BagWriter(path) as bag:
        for frame in FRAMES[:3]:
            for topic, (frame_id, build) in topics.items():
                bag.write(topic, build(make, header_of(make, frame.stamp_ns, frame_id), frame), frame.stamp_ns)
    return path


def color_of(make_: object, header: object, frame: Frame) -> object:
    return color_image(make, header, frame.color)  # type: ignore[arg-type]


def jpeg_of(make_: object, header: object, frame: Frame) -> object:
    return compressed_color(make, header, frame.color)  # type: ignore[arg-type]


def depth_of(make_: object, header: object, frame: Frame) -> object:
    return depth_image(make, header, frame.depth)  # type: ignore[arg-type]


def info_of(make_: object, header: object, frame: Frame) -> object:
    return camera_info(make, header, frame.intrinsics)


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        pytest.param(
            {
                "/k4a/rgb/image_raw/compressed": ("rgb", jpeg_of),
                "/k4a/depth/image_raw": ("depth", depth_of),
                "/k4a/depth_to_rgb/image_raw": ("rgb", depth_of),
                "/k4a/depth/camera_info": ("depth", info_of),
                "/k4a/rgb/camera_info": ("rgb", info_of),
            },
            ("/k4a/rgb/image_raw/compressed", "/k4a/depth_to_rgb/image_raw", "/k4a/rgb/camera_info"),
            id="azure kinect",
        ),
        pytest.param(
            {
                "/camera/color/image_raw": ("c", color_of),
                "/camera/infra1/image_raw": ("i", color_of),
                "/camera/aligned_depth_to_color/image_raw": ("c", depth_of),
                "/camera/color/camera_info": ("c", info_of),
            },
            (
                "/camera/color/image_raw",
                "/camera/aligned_depth_to_color/image_raw",
                "/camera/color/camera_info",
            ),
            id="realsense before 4.55",
        ),
        pytest.param(
            {"/d": ("x", depth_of), "/elsewhere/info": ("x", info_of)}, ("", "/d", "/elsewhere/info"), id="depth only"
        ),
    ],
)
def test_detection(tmp_path: Path, topics: dict, expected: tuple[str, str, str]) -> None:
    with BagReader(write_messages(tmp_path / "bag", topics)) as bag:
        assert (bag.topics.color, bag.topics.depth, bag.topics.camera_info) == expected
        assert len(list(bag)) == 3


@pytest.mark.parametrize(
    ("topics", "wanted", "message"),
    [
        ({"/info": ("x", info_of)}, BagTopics(), r"no image topic.*/info \(sensor_msgs/msg/CameraInfo, 3\)"),
        ({"/rgb": ("x", color_of)}, BagTopics(), "no usable camera_info for /rgb"),
        (
            {"/rgb": ("x", color_of)},
            BagTopics(color="/bgr"),
            r"color topic '/bgr' is not in the recording; it holds /rgb",
        ),
        ({"/rgb": ("x", color_of)}, BagTopics(depth="/rgb"), "depth topic '/rgb': it holds 'rgb8' images"),
        (
            {"/rgb": ("x", color_of)},
            BagTopics(truth="/rgb"),
            "truth topic '/rgb': expected hand_pose_ros/msg/HandArray",
        ),
        (
            {"/rgb": ("x", color_of), "/depth": ("y", depth_of), "/camera_info": ("x", info_of)},
            BagTopics(),
            "no depth topic is aligned to colour: /rgb is in frame 'x', but /depth in 'y'",
        ),
    ],
)
def test_detection_says_why_not(tmp_path: Path, topics: dict, wanted: BagTopics, message: str) -> None:
    path = write_messages(tmp_path / "bag", topics)
    with pytest.raises(BagError, match=message), BagReader(path, wanted):
        pass


BESIDE = np.array([0.02, 0.0, 0.01])


def static_from(parent: str) -> object:
    """/tf_static: frame "d" beside another one."""
    pose = make(
        "geometry_msgs/msg/Transform",
        translation=make("geometry_msgs/msg/Vector3", **dict(zip("xyz", BESIDE.tolist(), strict=True))),
        rotation=make("geometry_msgs/msg/Quaternion", w=1.0),
    )
    header = make("std_msgs/msg/Header", frame_id=parent)
    item = make("geometry_msgs/msg/TransformStamped", header=header, child_frame_id="d", transform=pose)
    return make("tf2_msgs/msg/TFMessage", transforms=[item])


UNALIGNED = {
    "/c/color/image_raw": ("c", color_of),
    "/c/color/camera_info": ("c", info_of),
    "/c/depth/image_rect_raw": ("d", depth_of),
    "/c/depth/camera_info": ("d", info_of),
}


def test_depth_that_is_not_aligned_is_aligned_by_the_recording_itself(tmp_path: Path) -> None:
    topics = {"/tf_static": ("", lambda make_, header, frame: static_from("c")), **UNALIGNED}
    with BagReader(write_messages(tmp_path / "bag", topics)) as bag:
        frames = list(bag)
        assert bag.topics.depth_camera_info == "/c/depth/camera_info"
    assert len(frames) == 3
    for frame, toy_frame in zip(frames, FRAMES, strict=False):
        assert frame.depth is not None and toy_frame.depth is not None and frame.depth.any()
        camera = toy_frame.intrinsics
        recorded = encode_depth(toy_frame.depth) * np.float32(0.001)
        expected = DepthRegistration(camera, camera, Extrinsics(np.eye(3), BESIDE))(recorded)
        np.testing.assert_allclose(frame.depth, expected, atol=1e-6)


def test_depth_whose_place_is_not_recorded_is_refused(tmp_path: Path) -> None:
    topics = {"/tf_static": ("", lambda make_, header, frame: static_from("other")), **UNALIGNED}
    path = write_messages(tmp_path / "bag", topics)
    text = "cannot be aligned to /c/color/image_raw: no transform from 'd' to 'c'"
    with pytest.raises(BagError, match=text), BagReader(path):
        pass
    with BagReader(path, BagTopics(depth="")) as bag:
        assert bag.streams == ("color",)


def test_given_intrinsics_serve(tmp_path: Path) -> None:
    path = write_messages(tmp_path / "bag", {"/rgb": ("x", color_of)})
    with BagReader(path, intrinsics=toy.camera()) as bag:
        assert [f.intrinsics for f in bag] == [toy.camera()] * 3


def test_a_new_camera_info_counts_from_its_stamp(tmp_path: Path) -> None:
    other = toy.frames(COUNT, 32, 24)[4:]
    path = write(tmp_path / "bag", FRAMES[:4] + other)
    with BagReader(path) as bag:
        assert_equal_frames(list(bag), FRAMES[:4] + other)


def test_a_wrong_size_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "bag")
    with BagReader(path, intrinsics=toy.camera(65, 48)) as bag:
        assert list(bag) == []
        assert bag.drops == {"damaged": 2 * COUNT}
        assert "64x48 or its aspect ratio, got 65x48" in bag.problems[0]


def test_a_damaged_picture_inside(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for index, frame in enumerate(FRAMES):
            header = header_of(make, frame.stamp_ns, frame.frame_id)
            message = compressed_color(make, header, frame.color)  # type: ignore[arg-type]
            if index == 3:
                message.data = message.data[:100]
            writer.write(f"{COLOR_TOPIC}/compressed", message, frame.stamp_ns)
            writer.write(DEPTH_TOPIC, depth_of(make, header, frame), frame.stamp_ns)
            writer.write(CAMERA_INFO_TOPIC, info_of(make, header, frame), frame.stamp_ns)
    with BagReader(tmp_path / "bag") as bag:
        assert [f.stamp_ns for f in bag] == [f.stamp_ns for i, f in enumerate(FRAMES) if i != 3]
        assert bag.drops == {"damaged": 2}
        assert "end marker" in bag.problems[0]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata_missing_or_broken(tmp_path: Path, storage: str) -> None:
    path = write(tmp_path / "bag", storage=storage)
    for text in ("rosbag2_bagfile_information: {version: 5}", "{{{", ""):
        (path / "metadata.yaml").write_text(text)
        with BagReader(path) as bag:
            assert_equal_frames(list(bag), FRAMES)
            assert len(bag.problems) == 1
    (path / "metadata.yaml").unlink()
    with BagReader(path) as bag:
        assert_equal_frames(list(bag), FRAMES)


def test_split_recording_with_a_lost_end(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for part, name in enumerate(("split_2.mcap", "split_10.mcap")):
        write(folder / name, FRAMES[4 * part : 4 * part + 4], scenes=False)
    last = folder / "split_10.mcap"
    last.write_bytes(last.read_bytes()[:-50])
    with BagReader(folder) as bag:
        assert_equal_frames(list(bag), FRAMES)
        assert any("split_10.mcap" in problem for problem in bag.problems)


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no bag")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "zero.mcap").write_bytes(b"")
    with BagWriter(tmp_path / "silent"):
        pass
    for name, message in (
        ("missing", "no such recording"),
        ("empty", "expected a .mcap or .db3 file in this folder, found nothing"),
        ("notes.txt", "expected a .mcap or .db3 file"),
        ("old.bag", "rosbags-convert"),
        ("zero.mcap", "no messages at all.*seems to be empty"),
        ("silent", "no messages at all"),
    ):
        with pytest.raises(BagError, match=message), BagReader(tmp_path / name):
            pass


def test_scenes_need_one_topic(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "two") as writer:
        for topic in ("/a/hands", "/b/hands"):
            writer.write(topic, make("hand_pose_ros/msg/HandArray"), 1)
    with pytest.raises(BagError, match="found \\['/a/hands', '/b/hands'\\]; name it"):
        read_scenes(tmp_path / "two")
    assert len(read_scenes(tmp_path / "two", "/a/hands")) == 1
    with pytest.raises(BagError, match="no hand_pose_ros/msg/HandArray topic '/c'"):
        read_scenes(tmp_path / "two", "/c")


def test_a_hand_that_was_never_filled_in_is_told(tmp_path: Path) -> None:
    hands = [make("hand_pose_ros/msg/Hand")]
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/n/hands", make("hand_pose_ros/msg/HandArray", hands=hands), 1)
    with pytest.raises(BagError, match=r"Hand\.side: expected"):
        read_scenes(tmp_path / "bag")
    problems: list[str] = []
    assert read_scenes(tmp_path / "bag", problems=problems) == []
    assert len(problems) == 1


FUZZ = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frames_of(path: Path) -> tuple[list[Frame], list[str]]:
    """What a broken recording still gives; a BagError counts as nothing, told."""
    # Named, since a recording that ends before its first depth image would pass for one of colour alone.
    topics = BagTopics(color=f"{COLOR_TOPIC}/compressed", depth=DEPTH_TOPIC)
    try:
        with BagReader(path, topics) as bag:
            return list(bag), bag.problems
    except BagError as error:
        return [], [str(error)]


@FUZZ
@given(data=st.data(), kind=st.sampled_from(["mcap", "plain_mcap", "db3"]))
def test_cut_anywhere(data: st.DataObject, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    whole = request.getfixturevalue(kind)
    path = tmp_path / f"cut.{kind.removeprefix('plain_')}"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    frames, problems = frames_of(path)
    assert_equal_frames(frames, FRAMES[: len(frames)])
    # The last page of an SQLite file may be spare; a cut MCAP always lacks its end.
    assert problems or (kind == "db3" and len(frames) == COUNT)


@FUZZ
@given(data=st.data(), kind=st.sampled_from(["mcap", "plain_mcap", "db3"]))
def test_bytes_overwritten_anywhere(
    data: st.DataObject, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    damaged = bytearray(request.getfixturevalue(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"damaged.{kind.removeprefix('plain_')}"
    path.write_bytes(damaged)
    frames_of(path)


def test_a_cut_uncompressed_recording_gives_every_whole_frame(plain_mcap: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.mcap"
    path.write_bytes(plain_mcap[: len(plain_mcap) // 2])
    frames, problems = frames_of(path)
    assert 2 <= len(frames) < COUNT
    assert any("cut" in problem for problem in problems)


def chunk_starts(data: bytes) -> list[int]:
    """Where the chunk records of an MCAP file begin."""
    position, starts = 8, []
    while data[position] != 0x0F:
        starts += [position] if data[position] == 0x06 else []
        position += 9 + int.from_bytes(data[position + 1 : position + 9], "little")
    return starts


def test_a_damaged_chunk_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    """The index is whole, so that rosbags opens the file and stumbles on the way."""
    path = tmp_path / "bag.mcap"
    frames = toy.frames(6, 640, 480)
    with BagWriter(path) as writer:
        for frame in frames:
            writer.write_frame(frame, color="raw")
    data = bytearray(path.read_bytes())
    starts = chunk_starts(data)
    assert len(starts) == 6
    magic = data.index(b"\x28\xb5\x2f\xfd", starts[2])
    data[magic : magic + 4] = b"gone"
    path.write_bytes(data)
    with BagReader(path) as bag:
        assert_equal_frames(list(bag), frames[:2] + frames[3:])
        assert any("damaged zstd chunk" in problem for problem in bag.problems)


def test_a_half_written_database(tmp_path: Path) -> None:
    """A recorder that was killed: metadata.yaml missing, the last rows only in the write-ahead log."""
    path = write(tmp_path / "bag", storage="sqlite3")
    (path / "metadata.yaml").unlink()
    other = tmp_path / "killed"
    other.mkdir()
    connection = sqlite3.connect(path / "bag.db3")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("DELETE FROM messages WHERE id > 40")
    connection.commit()
    for file in path.iterdir():
        shutil.copy(file, other)
    connection.close()
    with BagReader(other) as bag:
        assert 0 < len(list(bag)) <= COUNT


def test_a_database_whose_very_error_text_is_damaged(db3: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bag.db3"
    path.write_bytes(db3.replace(b"CREATE TABLE messages(", b"CREATE \x80TABLE messages"))
    with pytest.raises(BagError, match="cannot be read"), BagReader(path):
        pass


def test_messages_of_another_version_are_left_out(tmp_path: Path) -> None:
    """A HandArray without hands, as an older package might have had."""
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        other = get_typestore(Stores.ROS2_HUMBLE)
        name = "hand_pose_ros/msg/HandArray"
        other.register(get_types_from_msg("std_msgs/Header header\nstring remark\n", name))
        connection = writer.add_connection("/hand_pose/hands", name, typestore=other)
        message = other.types[name](header_of(make, 1, "f"), "old")
        writer.write(connection, 1, other.serialize_cdr(message, name))
    problems: list[str] = []
    with pytest.raises(BagError, match="found none"):
        read_scenes(tmp_path / "bag", problems=problems)
    with BagStorage(tmp_path / "bag") as storage:
        assert storage.topics == {}
        assert "another version" in storage.problems[0]


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_compression_of_rosbag2(tmp_path: Path, mode: CompressionMode, plugin: StoragePlugin) -> None:
    writer = Writer(tmp_path / "bag", version=8, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        for frame in FRAMES:
            header = header_of(make, frame.stamp_ns, frame.frame_id)
            for topic, message in (
                (DEPTH_TOPIC, depth_of(make, header, frame)),
                (CAMERA_INFO_TOPIC, info_of(make, header, frame)),
            ):
                kind = message.__msgtype__  # type: ignore[attr-defined]
                known = {connection.topic: connection for connection in writer.connections}
                connection = known.get(topic) or writer.add_connection(topic, kind, typestore=typestore())
                writer.write(connection, frame.stamp_ns, serialize(message))
    with BagReader(tmp_path / "bag") as bag:
        np.testing.assert_array_equal([f.depth for f in bag], [f.depth for f in FRAMES])
        assert bag.problems == []
    packed = next(item for item in (tmp_path / "bag").iterdir() if item.suffix == ".zstd" or mode.name == "MESSAGE")
    if mode is CompressionMode.FILE:
        packed.write_bytes(packed.read_bytes()[:-10])
        with pytest.raises(BagError, match="zstd -d"), BagReader(tmp_path / "bag"):
            pass
