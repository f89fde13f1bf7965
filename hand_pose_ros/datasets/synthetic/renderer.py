"""Draws scenes as colour, depth and mask with OpenGL, on a GPU or on the CPU (Mesa's llvmpipe), many at once.

All OpenGL objects are made once; scenes only rewrite small buffers. A batch of scenes is drawn with a handful of calls
into a stack of pictures and read back at once; each picture is the same to the last bit in whatever batch it is drawn.
The projection is that of `Intrinsics` exactly, off-axis principal points included; integer pixels are pixel centres.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.egl import RendererUnavailable, create_context
from hand_pose_ros.datasets.synthetic.layers import LayerStack
from hand_pose_ros.datasets.synthetic.meshes import unit_meshes, vertex_fans
from hand_pose_ros.datasets.synthetic.packing import (
    DEPTH_RANGE,
    HAND_FLOATS,
    INSTANCE_FLOATS,
    pack_hands,
    pack_primitives,
    pack_scenes,
)
from hand_pose_ros.datasets.synthetic.photometry import degrade_color
from hand_pose_ros.datasets.synthetic.shaders import (
    BACKGROUND_FRAGMENT,
    BACKGROUND_VERTEX,
    FRAGMENT,
    HAND_VERTEX,
    LABEL_BITS,
    MAX_SCENES,
    PRIMITIVE_VERTEX,
    SCENE_VECTORS,
)
from hand_pose_ros.datasets.synthetic.skin import hand_models, vertex_tints
from hand_pose_ros.datasets.synthetic.spec import HAND_LABEL, HandTruth, Rendered, SceneSpec, Shape
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Intrinsics

__all__ = ["Renderer", "RendererUnavailable"]

View = tuple[SceneSpec, Intrinsics]
# Hands of one side and primitives of one shape in a batch of scenes.
MAX_HANDS = MAX_SCENES
MAX_INSTANCES = 16 * MAX_SCENES
# Stacks are made for so many pictures; one that is mostly empty is read back for nothing.
LABEL_MASK = np.uint8((1 << LABEL_BITS) - 1)
_STACK_SIZES = (1, 8, MAX_SCENES)


class Renderer:
    """Renders scenes at any size up to `max_size` (width, height). Not thread safe: one per process or thread.

    Raises `RendererUnavailable` when OpenGL cannot be had.
    """

    def __init__(self, max_size: tuple[int, int] = (640, 480)) -> None:
        self._context = create_context()
        self._max_size = max_size
        self._stacks: dict[tuple[int, int, int], LayerStack] = {}
        self._models = hand_models()
        program = self._context.program
        self._primitive_program = program(vertex_shader=PRIMITIVE_VERTEX, fragment_shader=FRAGMENT)
        self._hand_program = program(vertex_shader=HAND_VERTEX, fragment_shader=FRAGMENT)
        self._background_program = program(vertex_shader=BACKGROUND_VERTEX, fragment_shader=BACKGROUND_FRAGMENT)
        self._scenes = self._context.buffer(reserve=16 * SCENE_VECTORS * MAX_SCENES, dynamic=True)
        for each in (self._primitive_program, self._hand_program, self._background_program):
            each["Scenes"].binding = 0
        self._primitive_program["depth_range"].value = DEPTH_RANGE
        self._hand_program["depth_range"].value = DEPTH_RANGE
        self._background = self._context.vertex_array(self._background_program, [])
        self._instances: dict[Shape, Any] = {}
        self._primitive_arrays = {shape: self._primitive_array(shape) for shape in Shape}
        self._prepare_hands()
        self._context.enable(self._context.DEPTH_TEST)
        # Rows of pictures count downwards, OpenGL's upwards: outsides turn the other way round.
        self._context.front_face = "cw"

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

    def _prepare_hands(self) -> None:
        count = self._models[Side.RIGHT].num_vertices
        self._surfaces = self._context.texture((count, 2 * MAX_HANDS), 3, dtype="f4")
        self._skins: dict[Side, Any] = {}
        self._fans: dict[Side, Any] = {}
        self._hand_arrays = {side: self._hand_array(side) for side in Side}
        self._hand_program["surfaces"].value = 0
        self._hand_program["fans"].value = 1

    def _hand_array(self, side: Side) -> Any:
        model = self._models[side]
        fans = vertex_fans(model.faces, model.num_vertices)
        if fans.shape[1] % 2:
            fans = np.concatenate([fans, np.repeat(np.arange(len(fans), dtype=np.int32), 2).reshape(-1, 1, 2)], axis=1)
        texels = np.ascontiguousarray(fans.reshape(len(fans), -1, 4).transpose(1, 0, 2))
        self._fans[side] = self._context.texture(texels.shape[1::-1], 4, texels.tobytes(), dtype="i4")
        self._hand_program["fan_texels"].value = len(texels)
        fixed = np.concatenate([model.v_template, vertex_tints(model)], axis=1).astype(np.float32)
        self._skins[side] = self._context.buffer(reserve=4 * HAND_FLOATS * MAX_HANDS, dynamic=True)
        content = [
            (self._context.buffer(fixed.tobytes()), "3f 4f", "in_rest", "in_tint"),
            (self._skins[side], "4f 4f 4f 4f /i", "in_back", "in_palm", "in_nail", "in_surface"),
        ]
        indices = self._context.buffer(model.faces.astype(np.int32).tobytes())
        return self._context.vertex_array(self._hand_program, content, index_buffer=indices)

    def _stack(self, width: int, height: int, count: int) -> LayerStack:
        if width > self._max_size[0] or height > self._max_size[1]:
            raise ValueError(
                f"render: expected at most {self._max_size[0]}x{self._max_size[1]}, got {width}x{height}; "
                "make the Renderer with a larger max_size"
            )
        key = (width, height, min(size for size in _STACK_SIZES if size >= count))
        if key not in self._stacks:
            self._stacks[key] = LayerStack(self._context, *key)
        return self._stacks[key]

    def render(self, spec: SceneSpec, camera: Intrinsics) -> Rendered:
        """Draw what `camera` (without distortion) sees of the scene.

        Raises:
            ValueError: the picture is larger than `max_size`, or there are more primitives than fit.
        """
        return self.render_many([(spec, camera)])[0]

    def render_many(self, views: Sequence[View]) -> list[Rendered]:
        """Draw many scenes, each seen by its camera; in order. Fastest when the pictures are of one size.

        Raises:
            ValueError: a picture is larger than `max_size`, or there are more primitives than fit.
        """
        pictures: dict[int, Rendered] = {}
        sizes = sorted({(camera.width, camera.height) for _, camera in views})
        for size in sizes:
            chosen = [index for index, (_, camera) in enumerate(views) if (camera.width, camera.height) == size]
            for start in range(0, len(chosen), MAX_SCENES):
                part = chosen[start : start + MAX_SCENES]
                pictures.update(zip(part, self._draw([views[index] for index in part]), strict=True))
        return [pictures[index] for index in range(len(views))]

    def _draw(self, views: Sequence[View]) -> Iterator[Rendered]:
        camera = views[0][1]
        stack = self._stack(camera.width, camera.height, len(views))
        self._scenes.write(pack_scenes(views))
        self._scenes.bind_to_uniform_block(0)
        stack.begin()
        self._context.enable(self._context.CULL_FACE)
        self._draw_hands(views)
        self._context.disable(self._context.CULL_FACE)
        for shape, packed in pack_primitives([spec.primitives for spec, _ in views]):
            if len(packed) > MAX_INSTANCES:
                raise ValueError(f"render: expected at most {MAX_INSTANCES} {shape.name} primitives, got {len(packed)}")
            self._instances[shape].write(packed)
            self._primitive_arrays[shape].render(instances=len(packed))
        self._background.render(vertices=3, instances=len(views))
        pixels, metres = stack.read()
        for index, (spec, _) in enumerate(views):
            color = degrade_color(np.asarray(cv2.cvtColor(pixels[index], cv2.COLOR_RGBA2RGB)), spec.photometry)
            tag = cv2.extractChannel(pixels[index], 3)
            mask, loss = np.bitwise_and(tag, LABEL_MASK), np.right_shift(tag, np.uint8(LABEL_BITS))
            yield Rendered(color, metres[index].copy(), mask, loss)

    def _draw_hands(self, views: Sequence[View]) -> None:
        offset = 0
        for side in Side:
            hands: list[tuple[int, HandTruth]] = [
                (index, hand) for index, (spec, _) in enumerate(views) for hand in spec.hands if hand.side is side
            ]
            if not hands:
                continue
            if len(hands) > MAX_HANDS:
                raise ValueError(f"render: expected one {side.value} hand per scene, got {len(hands)} in {len(views)}")
            surfaces = np.stack([hand.surface for _, hand in hands])
            self._surfaces.write(surfaces, viewport=(0, offset, surfaces.shape[1], len(hands)), alignment=1)
            self._skins[side].write(pack_hands(hands))
            self._surfaces.use(0)
            self._fans[side].use(1)
            self._hand_program["row_offset"].value = offset
            self._hand_program["hand_label"].value = float(HAND_LABEL[side])
            self._hand_arrays[side].render(instances=len(hands))
            offset += len(hands)
