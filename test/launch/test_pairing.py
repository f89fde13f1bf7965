"""Our pairing against message_filters' on the same streams."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from needs import needs

needs("message_filters", remedy="python3 scripts/setup_ros_jazzy.py VENV && . VENV/ros_env.sh && pytest test/launch")

import numpy as np
from builtin_interfaces.msg import Time
from message_filters import SimpleFilter, TimeSynchronizer
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from hand_pose_ros.sources.pairing import StampPairer

PERIOD_NS = 33_333_333


def streams(seed: int) -> list[tuple[str, int]]:
    """Colour and depth at 30 Hz with equal stamps; each stream loses a tenth of its images."""
    random = np.random.default_rng(seed)
    stamps = [10**9 + PERIOD_NS * index for index in range(300)]
    return [(stream, stamp) for stamp in stamps for stream in ("color", "depth") if random.random() > 0.1]


@pytest.mark.parametrize("seed", range(3))
def test_equal_stamps_give_the_pairs_of_message_filters(seed: int) -> None:
    theirs: list[tuple[int, int]] = []
    filters = {"color": SimpleFilter(), "depth": SimpleFilter()}
    synchronizer = TimeSynchronizer(list(filters.values()), 8)
    synchronizer.registerCallback(lambda color, depth: theirs.append((_stamp(color), _stamp(depth))))
    pairer = StampPairer(("color", "depth"))
    ours: list[tuple[int, int]] = []
    for stream, stamp in streams(seed):
        message = Image(header=Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9)))
        filters[stream].signalMessage(message)
        complete = pairer.add(stream, stamp, SimpleNamespace(stamp=stamp))
        if complete is not None:
            ours.append((complete["color"].stamp, complete["depth"].stamp))
    assert len(ours) > 200
    assert ours == theirs


def _stamp(message: Image) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
