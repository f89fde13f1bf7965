"""Frames and scenes as a ROS 2 recording (mcap or sqlite3) that RViz, Foxglove and `ros2 bag` read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final

from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.rosbag2.storage_mcap import McapWriter

from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources import image_messages, scene_markers, scene_messages
from hand_pose_ros.sources.bag_topics import TRUTH
from hand_pose_ros.sources.errors import BagError
from hand_pose_ros.sources.message_types import make, serialize, typestore
from hand_pose_ros.sources.salvage import zstd
from hand_pose_ros.types import Frame, Intrinsics, Scene

COLOR_TOPIC: Final = "/camera/camera/color/image_raw"
DEPTH_TOPIC: Final = "/camera/camera/aligned_depth_to_color/image_raw"
CAMERA_INFO_TOPIC: Final = "/camera/camera/color/camera_info"
NAMESPACE: Final = "/hand_pose"  # the node's name: its topics are ~/hands, …

_STORAGES: Final = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
# rosbag2 metadata of Iron and Jazzy; 9 stores QoS in a form that Humble does not know.
_METADATA_VERSION: Final = 8
_FOREVER = QosTime(9223372036, 854775807)  # rmw's RMW_DURATION_INFINITE


class BagWriter:
    """Writes a new recording; a context manager. What was written before an error remains readable.

    Args:
        path: a folder to be made (rosbag2), or a name ending in .mcap or .db3 for a lone file.
        storage: "mcap" or "sqlite3"; a lone file's suffix decides for itself.
        compress: compress the chunks of an mcap with zstd.
        dense: of an mcap: chunks of 16 MiB and the strongest compression, for files that are kept rather than recorded.
        namespace: before the result topics hands, meshes, mesh_topology, objects, markers.
        overwrite: replace what is there.

    Raises:
        BagError: the path exists, or an unknown storage.
    """

    def __init__(
        self,
        path: Path | str,
        storage: str = "mcap",
        *,
        compress: bool = True,
        dense: bool = False,
        namespace: str = NAMESPACE,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self._lone = self.path.suffix in (".mcap", ".db3")
        if self._lone:
            storage = "mcap" if self.path.suffix == ".mcap" else "sqlite3"
        if storage not in _STORAGES:
            raise BagError(f"storage: expected {' or '.join(_STORAGES)}, got {storage!r}")
        self._storage = storage
        self._compress = compress and storage == "mcap"
        self._dense = dense
        self._namespace = namespace.rstrip("/")
        self._overwrite = overwrite
        self._connections: dict[str, Connection] = {}
        self._counts: dict[str, int] = {}
        self._faces: dict[Side, NDArray[Any]] | None = None

    def __enter__(self) -> BagWriter:
        if self.path.exists() and not self._overwrite:
            raise BagError(f"{self.path} exists already; give another name or ask for overwriting it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Beside its final place, which is only touched when the recording is complete or ends with an error.
        self._work = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        folder = self._work / self.path.stem if self._lone else self._work / self.path.name
        kind = _DenseWriter if self._dense and self._compress else Writer
        self._writer = kind(folder, version=_METADATA_VERSION, storage_plugin=_STORAGES[self._storage])
        if self._compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
            made = self._writer.path
            if self._lone:
                (made,) = (file for file in made.iterdir() if file.suffix == self.path.suffix)
            if self.path.is_dir():
                shutil.rmtree(self.path)
            made.replace(self.path)
        finally:
            shutil.rmtree(self._work)

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages written so far by topic."""
        return self._counts

    def write_frame(
        self,
        frame: Frame,
        *,
        color: str = "jpeg",
        depth: str = "raw",
        quality: int = 90,
    ) -> None:
        """The images and camera_info under RealSense's topic names.

        Args:
            frame: what it lacks is not written.
            color: "raw", "jpeg" or "png".
            depth: "raw" (16UC1) or "png" (compressedDepth), both in millimetres.
            quality: of the JPEG, 0..100.
        """
        _choice("color", color, ("raw", "jpeg", "png"))
        _choice("depth", depth, ("raw", "png"))
        header = scene_messages.header_of(make, frame.stamp_ns, frame.frame_id)
        self._write_camera_info(header, frame.stamp_ns, frame.intrinsics)
        if frame.color is not None and color == "raw":
            self.write(COLOR_TOPIC, image_messages.color_image(make, header, frame.color), frame.stamp_ns)
        elif frame.color is not None:
            packed = image_messages.compressed_color(
                make, header, frame.color, quality=quality, lossless=color == "png"
            )
            self.write(f"{COLOR_TOPIC}/compressed", packed, frame.stamp_ns)
        if frame.depth is not None and depth == "raw":
            self.write(DEPTH_TOPIC, image_messages.depth_image(make, header, frame.depth), frame.stamp_ns)
        elif frame.depth is not None:
            packed = image_messages.compressed_depth(make, header, frame.depth)
            self.write(f"{DEPTH_TOPIC}/compressedDepth", packed, frame.stamp_ns)

    def write_topology(
        self, hand_model: str, num_vertices: int, faces: Mapping[Side, NDArray[Any]], stamp_ns: int
    ) -> None:
        """The triangles (F, 3) of both hands, latched; from now on markers show the meshes too."""
        self._faces = dict(faces)
        message = scene_messages.mesh_topology(make, hand_model, num_vertices, faces[Side.LEFT], faces[Side.RIGHT])
        self.write(f"{self._namespace}/mesh_topology", message, stamp_ns, latched=True)

    def write_scene(self, scene: Scene, image_size: tuple[int, int], *, tf_joints: bool = False) -> None:
        """Hands, meshes, objects, markers and TF of one scene; `image_size` is (width, height)."""
        stamp, base = scene.stamp_ns, self._namespace
        self.write(f"{base}/hands", scene_messages.hand_array(make, scene, image_size), stamp)
        if any(hand.vertices is not None for hand in scene.hands):
            self.write(f"{base}/meshes", scene_messages.mesh_array(make, scene), stamp)
        if scene.objects:
            self.write(f"{base}/objects", scene_messages.object_array(make, scene), stamp)
        self.write(f"{base}/markers", scene_markers.marker_array(make, scene, self._faces), stamp)
        frames = scene_markers.transforms(make, scene, joints=tf_joints)
        if frames.transforms:
            self.write("/tf", frames, stamp)

    def write_truth(self, scene: Scene, image_size: tuple[int, int]) -> None:
        """The true scene of a frame (its stamp): hands, and objects if there are any."""
        self.write(TRUTH, scene_messages.hand_array(make, scene, image_size), scene.stamp_ns)
        if scene.objects:
            base = TRUTH.rsplit("/", 1)[0]
            self.write(f"{base}/objects", scene_messages.object_array(make, scene), scene.stamp_ns)

    def write(self, topic: str, message: Any, stamp_ns: int, *, latched: bool = False) -> None:
        """Any message made with `message_types.make`."""
        if topic not in self._connections:
            try:
                self._connections[topic] = self._writer.add_connection(
                    topic, message.__msgtype__, typestore=typestore(), offered_qos_profiles=[_qos(latched)]
                )
            except WriterError as error:
                raise BagError(f"{self.path}: {error}") from error
        self._writer.write(self._connections[topic], stamp_ns, serialize(message))
        self._counts[topic] = self._counts.get(topic, 0) + 1

    def _write_camera_info(self, header: Any, stamp_ns: int, camera: Intrinsics) -> None:
        self.write(CAMERA_INFO_TOPIC, image_messages.camera_info(make, header, camera), stamp_ns)


class _DenseMcapWriter(McapWriter):
    """Chunks that hold many images, so that what stays the same in them is stored once."""

    CHUNK_BYTES = 1 << 24
    LEVEL = 19

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(path, compression)
        self.compressor = lambda chunk: zstd.compress(chunk, self.LEVEL)
        self._closing = False

    def close_chunk(self) -> None:
        """Called by rosbags for every MiB."""
        if self._closing or self.chunk.bio.tell() >= self.CHUNK_BYTES:
            super().close_chunk()

    def close(self, version: int, metadata: str) -> None:
        """Write the last chunk and the index."""
        self._closing = True
        super().close(version, metadata)


class _DenseWriter(Writer):
    STORAGE_PLUGINS = MappingProxyType({**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _DenseMcapWriter})


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _qos(latched: bool) -> Qos:
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 5,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )
