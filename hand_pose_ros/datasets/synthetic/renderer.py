"""Draws a `SceneSpec` as colour, depth and mask in one pass with OpenGL, on a GPU or on the CPU (Mesa's llvmpipe).

All OpenGL objects are made once; a scene only rewrites small buffers. The projection is that of `Intrinsics` exactly,
off-axis principal points included, with integer pixels as pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hand_pose_ros.datasets.synthetic.meshes import unit_meshes, vertex_normals
from hand_pose_ros.datasets.synthetic.photometry import degrade_color
from hand_pose_ros.datasets.synthetic.shaders import FRAGMENT, HAND_VERTEX, PRIMITIVE_VERTEX
from hand_pose_ros.datasets.synthetic.skin import hand_models, vertex_tints
from hand_pose_ros.datasets.synthetic.spec import HAND_LABEL, HandTruth, Primitive, Rendered, SceneSpec, Shape
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Intrinsics

NEAR, FAR = 0.03, 30.0
MAX_INSTANCES = 64
INSTANCE_FLOATS = 28


class RendererUnavailable(RuntimeError):
    """No OpenGL context could be made; the text says what to install."""


def create_context() -> Any:
    """A standalone OpenGL 3.3 context on EGL (`moderngl.Context`)."""
    try:
        import moderngl
    except ImportError as error:
        raise RendererUnavailable("rendering needs moderngl: pip install 'hand_pose_ros[synthetic]'") from error
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
    except Exception as error:  # glcontext and moderngl raise bare Exception
        raise RendererUnavailable(
            f"expected an EGL device with OpenGL 3.3, got: {error}. Install the packages libegl1 and libgl1-mesa-dri "
            "(software rendering on the CPU), or on an NVIDIA machine in a container set "
            "NVIDIA_DRIVER_CAPABILITIES=all; LIBGL_ALWAYS_SOFTWARE=1 forces the CPU."
        ) from error


def projection_matrix(camera: Intrinsics) -> FloatArray:
    """(4, 4) clip = P @ (x, y, z, 1) of an optical-frame camera; image row 0 comes out as OpenGL's first row."""
    matrix = np.zeros((4, 4), dtype=np.float32)
    # u + 0.5 runs over 0..width where clip x runs over -1..1: pixel centres are at half-integers of OpenGL's window.
    matrix[0, 0] = 2.0 * camera.fx / camera.width
    matrix[0, 2] = 2.0 * (camera.cx + 0.5) / camera.width - 1.0
    matrix[1, 1] = 2.0 * camera.fy / camera.height
    matrix[1, 2] = 2.0 * (camera.cy + 0.5) / camera.height - 1.0
    matrix[2, 2] = (FAR + NEAR) / (FAR - NEAR)
    matrix[2, 3] = -2.0 * FAR * NEAR / (FAR - NEAR)
    matrix[3, 2] = 1.0
    return matrix


def pack_instance(primitive: Primitive) -> FloatArray:
    """The 28 floats of one primitive, in the order of the instance attributes in `shaders.py`."""
    material = primitive.material
    return np.array(
        [
            *primitive.transform.reshape(-1),
            *(primitive.taper, primitive.bulge, primitive.cap, float(primitive.label)),
            *(*material.base, float(material.pattern)),
            *(*material.second, material.scale),
            *(material.noise, material.specular, material.offset, 0.0),
        ],
        dtype=np.float32,
    )


@dataclass(frozen=True)
class _Target:
    framebuffer: Any
    depth_only: Any


class Renderer:
    """Renders scenes at any size up to `max_size` (width, height). Not thread safe: one per process or thread.

    Raises `RendererUnavailable` when OpenGL cannot be had.
    """

    def __init__(self, max_size: tuple[int, int] = (640, 480)) -> None:
        self._context = create_context()
        self._max_size = max_size
        self._targets: dict[tuple[int, int], _Target] = {}
        self._models = hand_models()
        self._primitive_program = self._context.program(vertex_shader=PRIMITIVE_VERTEX, fragment_shader=FRAGMENT)
        self._hand_program = self._context.program(vertex_shader=HAND_VERTEX, fragment_shader=FRAGMENT)
        self._instances: dict[Shape, Any] = {}
        self._primitive_arrays = {shape: self._primitive_array(shape) for shape in Shape}
        self._hand_buffers: dict[Side, Any] = {}
        self._hand_arrays = {side: self._hand_array(side) for side in Side}
        self._context.enable(self._context.DEPTH_TEST)

    @property
    def device(self) -> str:
        """What draws, as OpenGL names it."""
        return str(self._context.info["GL_RENDERER"])

    def close(self) -> None:
        """Give the OpenGL context back."""
        self._context.release()

    def _primitive_array(self, shape: Shape) -> Any:
        mesh = unit_meshes()[shape]
        self._instances[shape] = self._context.buffer(reserve=4 * INSTANCE_FLOATS * MAX_INSTANCES, dynamic=True)
        names = ("in_row0", "in_row1", "in_row2", "in_shape", "in_base", "in_second", "in_surface")
        content = [
            (self._context.buffer(mesh.vertices.tobytes()), "3f 3f 1f", "in_position", "in_normal", "in_t"),
            (self._instances[shape], "4f 4f 4f 4f 4f 4f 4f /i", *names),
        ]
        indices = self._context.buffer(mesh.indices.tobytes())
        return self._context.vertex_array(self._primitive_program, content, index_buffer=indices)

    def _hand_array(self, side: Side) -> Any:
        model = self._models[side]
        fixed = np.concatenate([model.v_template, vertex_tints(model)], axis=1).astype(np.float32)
        self._hand_buffers[side] = self._context.buffer(reserve=4 * 6 * model.num_vertices, dynamic=True)
        content = [
            (self._hand_buffers[side], "3f 3f", "in_position", "in_normal"),
            (self._context.buffer(fixed.tobytes()), "3f 4f", "in_rest", "in_tint"),
        ]
        indices = self._context.buffer(model.faces.astype(np.int32).tobytes())
        return self._context.vertex_array(self._hand_program, content, index_buffer=indices)

    def _target(self, width: int, height: int) -> _Target:
        if width > self._max_size[0] or height > self._max_size[1]:
            raise ValueError(
                f"render: expected at most {self._max_size[0]}x{self._max_size[1]}, got {width}x{height}; "
                "make the Renderer with a larger max_size"
            )
        if (width, height) not in self._targets:
            color = self._context.renderbuffer((width, height), 4)
            depth = self._context.renderbuffer((width, height), 1, dtype="f4")
            buffer = self._context.depth_renderbuffer((width, height))
            framebuffer = self._context.framebuffer([color, depth], buffer)
            self._targets[(width, height)] = _Target(framebuffer, self._context.framebuffer([depth]))
        return self._targets[(width, height)]

    def render(self, spec: SceneSpec, camera: Intrinsics) -> Rendered:
        """Draw what `camera` (without distortion) sees of the scene.

        Raises:
            ValueError: the picture is larger than `max_size`, or there are more primitives than fit.
        """
        target = self._target(camera.width, camera.height)
        self._set_uniforms(spec, camera)
        background = np.clip(spec.lighting.background * spec.photometry.gain, 0.0, 1.0) ** (1 / spec.photometry.gamma)
        # Clearing sets all attachments to the background colour; depth then gets its own zero.
        target.framebuffer.clear(*background, 0.0)
        target.depth_only.clear(0.0, 0.0, 0.0, 0.0)
        target.framebuffer.use()
        for hand in spec.hands:
            self._draw_hand(hand)
        self._draw_primitives(spec.primitives)
        return self._read(target, spec, camera)

    def _set_uniforms(self, spec: SceneSpec, camera: Intrinsics) -> None:
        # OpenGL keeps matrices by columns.
        projection = np.ascontiguousarray(projection_matrix(camera).T).tobytes()
        light, photometry = spec.lighting, spec.photometry
        for program in (self._primitive_program, self._hand_program):
            program["projection"].write(projection)
            program["light_direction"].write(light.directions.astype(np.float32).tobytes())
            program["light_color"].write(light.colors.astype(np.float32).tobytes())
            program["ambient"].value = tuple(light.ambient)
            program["gain"].value = photometry.gain
            program["inverse_gamma"].value = 1.0 / photometry.gamma

    def _draw_hand(self, hand: HandTruth) -> None:
        program, skin = self._hand_program, hand.skin
        program["skin_back"].value = skin.back
        program["skin_palm"].value = skin.palm
        program["skin_nail"].value = skin.nail
        program["skin_tint"].value = (skin.knuckles, skin.creases)
        program["skin_surface"].value = (skin.noise, skin.specular, skin.offset, 0.0)
        program["hand_label"].value = float(HAND_LABEL[hand.side])
        normals = vertex_normals(hand.surface, self._models[hand.side].faces)
        self._hand_buffers[hand.side].write(np.concatenate([hand.surface, normals], axis=1).tobytes())
        self._hand_arrays[hand.side].render()

    def _draw_primitives(self, primitives: tuple[Primitive, ...]) -> None:
        by_shape: dict[Shape, list[FloatArray]] = {}
        for primitive in primitives:
            by_shape.setdefault(primitive.shape, []).append(pack_instance(primitive))
        # Planes are last in `Shape`: what stands before them is then already in the depth buffer.
        for shape in sorted(by_shape):
            packed = by_shape[shape]
            if len(packed) > MAX_INSTANCES:
                raise ValueError(f"render: expected at most {MAX_INSTANCES} {shape.name} primitives, got {len(packed)}")
            self._instances[shape].write(np.concatenate(packed).tobytes())
            self._primitive_arrays[shape].render(instances=len(packed))

    def _read(self, target: _Target, spec: SceneSpec, camera: Intrinsics) -> Rendered:
        size = (camera.height, camera.width)
        pixels = np.frombuffer(target.framebuffer.read(components=4, alignment=1), dtype=np.uint8).reshape(*size, 4)
        raw = target.framebuffer.read(components=1, attachment=1, dtype="f4", alignment=1)
        mask = np.ascontiguousarray(pixels[..., 3])
        depth = np.frombuffer(raw, dtype=np.float32).reshape(size).copy()
        color = degrade_color(np.ascontiguousarray(pixels[..., :3]), spec.photometry)
        return Rendered(color, depth, mask)
