"""What a soak's samples say: the verdict, the curves, the figures. Without ROS; `soak` takes the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.types import ByteArray
from hand_pose_ros.visualization.plots import plot_curves

# Part of the time that does not count: models warm up, the allocator settles.
WARM_UP: Final = 0.2
# Growth from the first to the last third that is called growth: what an allocator does by itself is less.
MEMORY_MB: Final = 15.0
LATENCY: Final = 2.0
LATENCY_MS: Final = 50.0


@dataclass(frozen=True)
class Sample:
    """One second: since the start (s), memory (MiB), CPU (cores), results, and their latency (ms, NaN without any)."""

    time_s: float
    memory_mb: float
    cpu: float
    results: int
    hands: int
    latency_p50_ms: float
    latency_max_ms: float


@dataclass(frozen=True)
class Verdict:
    """What grew: memory (MiB) and latency (a factor), from the first to the last third after the warm-up."""

    memory_growth_mb: float
    latency_before_ms: float
    latency_after_ms: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not flat."""
        found = []
        if self.memory_growth_mb > MEMORY_MB:
            found.append(f"memory grew by {self.memory_growth_mb:.1f} MiB, expected at most {MEMORY_MB:g}")
        limit = max(LATENCY * self.latency_before_ms, self.latency_before_ms + LATENCY_MS)
        if not self.latency_after_ms <= limit:
            found.append(
                f"latency grew from {self.latency_before_ms:.0f} to {self.latency_after_ms:.0f} ms, expected at most "
                f"{limit:.0f}"
            )
        return tuple(found)


def judge(samples: Sequence[Sample]) -> Verdict:
    """Medians of the first and the last third of what comes after the warm-up.

    Raises:
        ValueError: fewer than six samples are left.
    """
    rest = samples[round(WARM_UP * len(samples)) :]
    if len(rest) < 6:
        raise ValueError(f"soak: expected at least 8 samples, got {len(samples)}; run for longer")
    third = len(rest) // 3
    first, last = rest[:third], rest[-third:]
    before, after = (float(np.nanmedian([item.latency_p50_ms for item in part])) for part in (first, last))
    grown = np.median([item.memory_mb for item in last]) - np.median([item.memory_mb for item in first])
    return Verdict(float(grown), before, after)


def draw(samples: Sequence[Sample]) -> ByteArray:
    """Memory above, latency below."""
    times = np.array([item.time_s for item in samples])
    memory = np.array([item.memory_mb for item in samples])
    p50, worst = (np.array([getattr(item, name) for item in samples]) for name in ("latency_p50_ms", "latency_max_ms"))
    span = (0.0, _nice(float(times[-1])))
    size = (900, 260)
    curves = {"of the node's process": (times, memory)}
    above = plot_curves(curves, "Memory (MiB)", "s", span, (0.0, _nice(1.1 * float(memory.max()))), size)
    top = _nice(float(np.nanmax(worst)))
    unit, scale = ("s", 1e-3) if top > 500 else ("ms", 1.0)
    latency = {"p50 of each second": (times, scale * p50), "worst of each second": (times, scale * worst)}
    below = plot_curves(latency, f"Stamp to message ({unit})", "s", span, (0.0, scale * top), size)
    return np.vstack([above, below])


def _nice(value: float) -> float:
    """The next number above that five steps of 1, 2, 3, 4, 5 or 6 times a power of ten lead to."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-9) / 5.0))
    return next(5.0 * step * power for step in (1, 2, 3, 4, 5, 6, 10) if 5.0 * step * power >= value)
