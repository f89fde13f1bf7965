"""One renderer for all tests of this room: making an OpenGL context takes longer than drawing a hundred scenes."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

os.environ.setdefault("LP_NUM_THREADS", "1")

from hand_pose_ros.datasets.synthetic.renderer import Renderer, RendererUnavailable


@pytest.fixture(scope="session")
def renderer() -> Generator[Renderer, None, None]:
    try:
        made = Renderer()
    except RendererUnavailable as error:
        pytest.skip(str(error))
    yield made
    made.close()
