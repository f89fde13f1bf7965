"""The soak's verdict and curves; test/ros/test_soak.py runs a short one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak_verdict import Sample, draw, judge


def samples(memory: list[float], latency: list[float]) -> list[Sample]:
    pairs = zip(memory, latency, strict=True)
    return [Sample(float(i), mb, 0.5, 20, 30, ms, 2 * ms) for i, (mb, ms) in enumerate(pairs)]


FLAT = [300.0] * 30
STEADY = [20.0] * 30


@pytest.mark.parametrize(
    ("memory", "latency", "words"),
    [
        pytest.param(FLAT, STEADY, (), id="flat"),
        pytest.param([100.0] * 6 + [300.0] * 24, [900.0] * 6 + [20.0] * 24, (), id="warm-up"),
        pytest.param([300.0 + i for i in range(30)], STEADY, ("memory grew by 16",), id="a leak"),
        pytest.param(FLAT, [20.0 + 10 * i for i in range(30)], ("latency grew from",), id="a queue"),
        pytest.param(FLAT, [20.0] * 20 + [float("nan")] * 10, ("latency grew from 20 to nan",), id="silence"),
        pytest.param(FLAT, [20.0, float("nan")] * 15, (), id="some seconds without a result"),
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_what_grows_is_told(memory: list[float], latency: list[float], words: tuple[str, ...]) -> None:
    found = judge(samples(memory, latency)).problems
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_too_short_a_time_tells_nothing() -> None:
    with pytest.raises(ValueError, match="run for longer"):
        judge(samples(FLAT[:6], STEADY[:6]))


def test_curves_show_what_they_are_given() -> None:
    flat, leak = (draw(samples(memory, STEADY)) for memory in (FLAT, [300.0 + 9 * i for i in range(30)]))
    assert flat.shape == leak.shape == (520, 900, 3)
    assert (flat[:260] != leak[:260]).any() and np.array_equal(flat[260:], leak[260:])
