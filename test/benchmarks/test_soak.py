"""The soak's verdict, and a short run of it with a node that is alive."""

# ruff: noqa: E402  (after `needs_ros`)

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needs import needs_ros

needs_ros()

from benchmarks.soak import Sample, draw, judge

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_short_soak_of_the_real_node(tmp_path: Path, sample_bag: Path) -> None:
    """12 s; `python -m benchmarks.soak --minutes 10` is the long one."""
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", str(12 / 60), "--rate", "10"]
    done = subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert (tmp_path / "soak.json").exists(), done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_text())
    assert done.returncode == bool(told["problems"])
    # On a busy machine latency may grow for reasons of its own; memory may not.
    assert not [problem for problem in told["problems"] if problem.startswith("memory")]
    assert len(told["samples"]) >= 8 and sum(item["results"] for item in told["samples"]) > 3
    assert all(item["memory_mb"] > 50 for item in told["samples"])
    assert (tmp_path / "soak.png").stat().st_size > 1000
