"""Marker, TF and point messages as lit triangles, drawn with OpenGL from RViz's orbit view. For `rviz_picture.py`.

Not RViz: its rules for markers (shapes, colours, flat normals of triangle lists, a light at the camera, text facing the
view, translucent things last) are followed here, so that a picture shows what the display shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.egl import create_context
from hand_pose_ros.geometry.wrist import quaternion_to_matrix
from hand_pose_ros.types import ByteArray, DoubleArray

# visualization_msgs/Marker
CUBE, SPHERE, CYLINDER, LINE_STRIP, LINE_LIST, SPHERE_LIST, TEXT, TRIANGLE_LIST = 1, 2, 3, 4, 5, 7, 9, 11
DELETE_ALL: Final = 3
_FOV: Final = np.pi / 4  # Ogre's default
_NEAR: Final = 0.01
_FAR: Final = 20.0
_SUPERSAMPLING: Final = 2
_VERTEX: Final = """
#version 410
uniform mat4 view; uniform mat4 projection;
in vec3 in_position; in vec3 in_normal; in vec4 in_color;
out vec3 normal; out vec3 place; out vec4 color;
void main() {
    vec4 seen = view * vec4(in_position, 1.0);
    normal = mat3(view) * in_normal; place = seen.xyz; color = in_color;
    gl_Position = projection * seen;
}
"""
_FRAGMENT: Final = """
#version 410
in vec3 normal; in vec3 place; in vec4 color;
out vec4 result;
void main() {
    if (dot(normal, normal) < 0.01) { result = color; return; }
    float facing = abs(dot(normalize(normal), normalize(place)));
    result = vec4(color.rgb * (0.3 + 0.7 * facing) + vec3(0.18 * pow(facing, 24.0)), color.a);
}
"""


@dataclass(frozen=True)
class Orbit:
    """RViz's orbit view: where it looks from (metres, radians)."""

    distance: float
    yaw: float
    pitch: float
    focus: tuple[float, float, float]

    @property
    def matrix(self) -> DoubleArray:
        """World to OpenGL's camera (x right, y up, z back), (4, 4); the world's z is up, as in RViz."""
        focus = np.array(self.focus)
        out = np.array(
            [np.cos(self.yaw) * np.cos(self.pitch), np.sin(self.yaw) * np.cos(self.pitch), np.sin(self.pitch)]
        )
        right = np.cross([0.0, 0.0, 1.0], out)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(out, right), out])
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = -rotation @ (focus + self.distance * out)
        return matrix


@dataclass(frozen=True)
class Label:
    """Text that faces the view: its place, height (metres), RGB 0..1."""

    place: DoubleArray
    height: float
    text: str
    color: tuple[float, float, float]


@dataclass
class Scene3D:
    """Triangles with colours in one frame; `add_…` take metres and RGBA 0..1."""

    solid: list[NDArray[np.float32]] = field(default_factory=list)
    clear: list[NDArray[np.float32]] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    lines: list[NDArray[np.float32]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def add_triangles(self, corners: Any, normals: Any, color: Any) -> None:
        """Corners and normals (N, 3); colour (4,) or (N, 4)."""
        colors = np.broadcast_to(np.asarray(color, dtype=np.float32), (len(corners), 4))
        content = np.hstack([corners, normals, colors]).astype(np.float32)
        (self.solid if colors[:, 3].min() > 0.99 else self.clear).append(content)

    def add_flat(self, corners: Any, color: Any) -> None:
        """A triangle list, each triangle with its own normal, as RViz draws it."""
        triangles = np.asarray(corners, dtype=np.float64).reshape(-1, 3, 3)
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        self.add_triangles(triangles.reshape(-1, 3), np.repeat(normals, 3, axis=0), color)

    def add_sphere(self, center: Any, diameter: float, color: Any) -> None:
        """A ball."""
        self.add_triangles(np.asarray(center) + _BALL * diameter / 2, _BALL, color)

    def add_tube(self, begin: Any, end: Any, width: float, color: Any) -> None:
        """A line of some width."""
        begin, end = np.asarray(begin, dtype=float), np.asarray(end, dtype=float)
        along = end - begin
        length = np.linalg.norm(along)
        if length < 1e-9:
            return
        along /= length
        side = np.cross(along, [1.0, 0.0, 0.0] if abs(along[0]) < 0.9 else [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(along, side), along], axis=1)
        corners = begin + (_TUBE * (width / 2, width / 2, length)) @ frame.T
        self.add_triangles(corners, (_TUBE * (1.0, 1.0, 0.0)) @ frame.T, color)

    def add_axes(self, pose: DoubleArray, length: float, radius: float) -> None:
        """x red, y green, z blue of a pose (4, 4)."""
        for axis, color in enumerate(((0.9, 0.1, 0.1, 1.0), (0.1, 0.8, 0.1, 1.0), (0.15, 0.3, 1.0, 1.0))):
            self.add_tube(pose[:3, 3], pose[:3, 3] + length * pose[:3, axis], 2 * radius, color)

    def add_points(self, points: Any, colors: Any) -> None:
        """Points (N, 3) with RGB 0..1 (N, 3), unlit."""
        count = len(points)
        content = np.hstack([points, np.zeros((count, 3)), colors, np.ones((count, 1))])
        self.points.append(content.astype(np.float32))

    def add_line(self, begin: Any, end: Any, color: Any) -> None:
        """A line as thin as a pixel, unlit."""
        ends = [np.concatenate([place, (0.0, 0.0, 0.0), color]) for place in (begin, end)]
        self.lines.append(np.array(ends, dtype=np.float32))

    def add_marker(self, marker: Any, pose: DoubleArray) -> None:
        """A visualization_msgs/Marker whose header's frame has this pose (4, 4).

        Raises:
            ValueError: a type that is not drawn here.
        """
        own = pose @ pose_matrix(marker.pose.position, marker.pose.orientation)
        scale, color = marker.scale, _rgba(marker.color)
        points = _place(own, marker.points)
        colors = np.array([_rgba(item) for item in marker.colors]) if len(marker.colors) else None
        if marker.type == TRIANGLE_LIST:
            self.add_flat(points, color if colors is None else colors)
        elif marker.type == SPHERE_LIST:
            for index, point in enumerate(points):
                self.add_sphere(point, scale.x, color if colors is None else colors[index])
        elif marker.type == LINE_LIST:
            for index in range(0, len(points), 2):
                self.add_tube(points[index], points[index + 1], scale.x, color if colors is None else colors[index])
        elif marker.type == CUBE:
            corners = _CUBE * (scale.x, scale.y, scale.z) @ own[:3, :3].T + own[:3, 3]
            self.add_flat(corners, color)
        elif marker.type == TEXT:
            self.labels.append(Label(own[:3, 3], scale.z, marker.text, color[:3]))
        else:
            raise ValueError(f"marker {marker.ns}: type {marker.type} is not drawn here")


def draw(scene: Scene3D, view: Orbit, size: tuple[int, int], background: tuple[int, int, int]) -> ByteArray:
    """The scene as RGB (height, width, 3); `size` is (width, height)."""
    width, height = (_SUPERSAMPLING * value for value in size)
    context = create_context()
    target = context.framebuffer(context.renderbuffer((width, height)), context.depth_renderbuffer((width, height)))
    target.use()
    target.clear(*(value / 255 for value in background), 1.0)
    program = context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
    program["view"].write(view.matrix.T.astype("f4").tobytes())
    program["projection"].write(_projection(width / height).T.astype("f4").tobytes())
    context.enable(context.DEPTH_TEST)
    context.point_size = 2.0 * _SUPERSAMPLING

    def put(content: NDArray[np.float32], mode: int) -> None:
        buffer = context.buffer(np.ascontiguousarray(content).tobytes())
        names = ("in_position", "in_normal", "in_color")
        context.vertex_array(program, [(buffer, "3f 3f 4f", *names)]).render(mode)

    if scene.points:
        put(np.concatenate(scene.points), context.POINTS)
    if scene.solid:
        put(np.concatenate(scene.solid), context.TRIANGLES)
    context.enable(context.BLEND)
    target.depth_mask = False
    if scene.lines:
        put(np.concatenate(scene.lines), context.LINES)
    if scene.clear:
        put(_far_first(np.concatenate(scene.clear), view.matrix), context.TRIANGLES)
    data = np.frombuffer(target.read(components=3), dtype=np.uint8).reshape(height, width, 3)
    context.release()
    picture = cv2.resize(np.ascontiguousarray(data[::-1]), size, interpolation=cv2.INTER_AREA)
    for label in scene.labels:
        _write(picture, label, view)
    return np.asarray(picture, dtype=np.uint8)


def pose_matrix(position: Any, orientation: Any) -> DoubleArray:
    """A pose's or transform's position and quaternion as (4, 4)."""
    matrix = np.eye(4)
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    matrix[:3, :3] = quaternion_to_matrix(quaternion / np.linalg.norm(quaternion))
    matrix[:3, 3] = position.x, position.y, position.z
    return matrix


def _far_first(content: NDArray[np.float32], view: DoubleArray) -> NDArray[np.float32]:
    triangles = content.reshape(-1, 3, content.shape[1])
    depth = triangles[:, :, :3].mean(axis=1) @ view[2, :3]
    return triangles[np.argsort(depth)].reshape(-1, content.shape[1])


def _write(picture: ByteArray, label: Label, view: Orbit) -> None:
    seen = view.matrix @ np.append(label.place, 1.0)
    if -seen[2] < _NEAR:
        return
    focal = picture.shape[0] / 2 / np.tan(_FOV / 2)
    x, y = (picture.shape[1] / 2 + focal * seen[0] / -seen[2], picture.shape[0] / 2 - focal * seen[1] / -seen[2])
    scale = focal * label.height / -seen[2] / 30  # Hershey's capitals are some 22 pixels high at scale 1
    (width, height), _ = cv2.getTextSize(label.text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    place, color = (round(x - width / 2), round(y + height / 2)), tuple(round(255 * value) for value in label.color)
    cv2.putText(picture, label.text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def _projection(aspect: float) -> DoubleArray:
    focal = 1 / np.tan(_FOV / 2)
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1], matrix[3, 2] = focal / aspect, focal, -1.0
    matrix[2, 2], matrix[2, 3] = (_FAR + _NEAR) / (_NEAR - _FAR), 2 * _FAR * _NEAR / (_NEAR - _FAR)
    return matrix


def _rgba(color: Any) -> tuple[float, float, float, float]:
    return color.r, color.g, color.b, color.a


def _place(pose: DoubleArray, points: Any) -> DoubleArray:
    xyz = np.array([(point.x, point.y, point.z) for point in points]).reshape(-1, 3)
    placed: DoubleArray = xyz @ pose[:3, :3].T + pose[:3, 3]
    return placed


def _quads(grid: DoubleArray) -> DoubleArray:
    """Triangles' corners (N, 3) of a grid of points (R, C, 3)."""
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    corners: DoubleArray = np.stack([a, b, c, a, c, d], axis=2).reshape(-1, 3)
    return corners


def _ball(rings: int = 12, segments: int = 20) -> DoubleArray:
    polar, around = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, segments), indexing="ij")
    return _quads(np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1))


def _tube(segments: int = 12) -> DoubleArray:
    around, along = np.meshgrid(np.linspace(0, 2 * np.pi, segments), [0.0, 1.0], indexing="ij")
    return _quads(np.stack([np.cos(around), np.sin(around), along], axis=-1))


def _cube() -> DoubleArray:
    faces = []
    for axis in range(3):
        for sign in (-0.5, 0.5):
            square = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]).reshape(2, 2, 2)
            faces.append(_quads(np.insert(square, axis, sign, axis=-1)))
    return np.concatenate(faces)


_BALL: Final = _ball()
_TUBE: Final = _tube()
_CUBE: Final = _cube()
