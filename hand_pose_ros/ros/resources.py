"""What this process holds of the machine, for /diagnostics."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hand_pose_ros.engines.base import Engine
from hand_pose_ros.engines.gpu_memory import gpu_memory

_STATM: Final = Path("/proc/self/statm")
_MB: Final = 1e6
_ON_GPU: Final = ("tensorrt", "cuda")


def resources(engines: Iterable[Engine]) -> dict[str, str]:
    """Memory, and that of the GPU where an engine runs on one and it is known."""
    facts = {}
    if _STATM.exists():
        pages = int(_STATM.read_text().split()[1])
        facts["memory (MB)"] = f"{pages * os.sysconf('SC_PAGE_SIZE') / _MB:.0f}"
    if any(word in engine.description.lower() for engine in engines for word in _ON_GPU):
        held = gpu_memory()
        if held is not None:
            facts["GPU memory (MB)"] = f"{held / _MB:.0f}"
    return facts
