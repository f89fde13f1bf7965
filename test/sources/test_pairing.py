"""Pairing by stamps: what comes out, and that nothing is lost uncounted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.sources.pairing import JUMP_NS, StampPairer, pair_all

STREAMS = ("color", "depth")
MS = 1_000_000
FRAME = 33 * MS

arrivals = st.lists(st.tuples(st.sampled_from(("a", "b", "c")), st.integers(0, 40)), max_size=60)


def played(pairer: StampPairer, events: list[tuple[str, int]]) -> list[dict[str, tuple[str, int, int]]]:
    """The sets that come out; each item is (stream, stamp, serial number)."""
    sets = []
    for number, (stream, stamp) in enumerate(events):
        complete = pairer.add(stream, stamp, (stream, stamp, number))
        if complete is not None:
            sets.append(complete)
    return sets


@pytest.mark.parametrize(
    ("events", "stamps", "drops"),
    [
        pytest.param([("color", 1), ("depth", 1), ("depth", 2), ("color", 2)], [1, 2], {}, id="in step"),
        pytest.param([("color", 1), ("color", 2), ("depth", 1), ("depth", 2)], [1, 2], {}, id="depth lags"),
        pytest.param([("color", 1), ("color", 2), ("depth", 2)], [2], {"unpaired": 1}, id="depth lost"),
        pytest.param(
            [("color", 1), ("color", 2), ("depth", 2), ("depth", 1)], [2], {"unpaired": 1, "late": 1}, id="late"
        ),
        pytest.param([("color", 1), ("color", 1), ("depth", 1)], [1], {"duplicate": 1}, id="same stamp twice"),
        pytest.param([("color", 1), ("depth", 2), ("color", 3)], [], {}, id="never equal"),
    ],
)
def test_exact(events: list[tuple[str, int]], stamps: list[int], drops: dict[str, int]) -> None:
    pairer = StampPairer(STREAMS)
    assert [s["depth"][1] for s in played(pairer, events)] == stamps
    assert pairer.drops == drops


def test_overflow_keeps_the_newest() -> None:
    pairer = StampPairer(STREAMS, capacity=3)
    played(pairer, [("color", t) for t in range(10)])
    assert pairer.waiting == 3
    assert pairer.drops == {"overflow": 7}
    assert pairer.add("depth", 9, "d") is not None


def test_tolerance_takes_the_nearest_within() -> None:
    pairer = StampPairer(STREAMS, tolerance_ns=10)
    sets = played(pairer, [("color", 0), ("color", 7), ("depth", 9)])
    assert [(s["color"][1], s["depth"][1]) for s in sets] == [(7, 9)]
    assert pairer.drops == {"unpaired": 1}
    assert StampPairer(STREAMS, tolerance_ns=10).add("color", 0, None) is None


def test_a_looping_bag_goes_on() -> None:
    loop = [(stream, t * FRAME) for t in range(100) for stream in STREAMS]
    pairer = StampPairer(STREAMS)
    assert len(played(pairer, loop * 3)) == 300
    assert not pairer.drops


def test_a_jump_counts_what_was_waiting() -> None:
    pairer = StampPairer(STREAMS)
    played(pairer, [("color", 10 * JUMP_NS), ("color", 0)])
    assert pairer.drops == {"jump": 1}
    assert pairer.waiting == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"streams": ()},
        {"streams": ("a", "a")},
        {"streams": ("a",), "tolerance_ns": -1},
        {"streams": ("a",), "capacity": 0},
    ],
)
def test_impossible_settings(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        StampPairer(**arguments)  # type: ignore[arg-type]


@given(arrivals, st.integers(0, 6), st.integers(1, 5), st.integers(1, 3))
def test_properties(events: list[tuple[str, int]], tolerance: int, capacity: int, count: int) -> None:
    streams = ("a", "b", "c")[:count]
    events = [event for event in events if event[0] in streams]
    pairer = StampPairer(streams, tolerance, capacity, jump_ns=10**9)
    sets = []
    for number, (stream, stamp) in enumerate(events):
        complete = pairer.add(stream, stamp, (stream, stamp, number))
        assert pairer.waiting <= capacity * count
        sets += [complete] if complete is not None else []
    newest = -1
    for complete in sets:
        stamps = [stamp for _, stamp, _ in complete.values()]
        assert tuple(complete) == streams
        assert max(stamps) - min(stamps) <= tolerance
        assert min(stamps) > newest
        newest = max(stamps)
    numbers = [number for complete in sets for _, _, number in complete.values()]
    assert len(numbers) == len(set(numbers))
    assert len(numbers) + pairer.waiting + sum(pairer.drops.values()) == len(events)
    pairer.flush()
    assert len(numbers) + sum(pairer.drops.values()) == len(events)


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 5)), max_size=40))
@settings(max_examples=60)
def test_a_recording_gives_every_pair(delays: list[tuple[int, int]]) -> None:
    """Each frame's colour and depth are recorded late by some frames, or (-1) not at all."""
    events = []
    for frame, lags in enumerate(delays):
        events += [(frame + lag, stream, frame * FRAME) for stream, lag in zip(STREAMS, lags, strict=True) if lag >= 0]
    once = [(stream, stamp, (stream, stamp)) for _, stream, stamp in sorted(events, key=lambda event: event[0])]
    both = [frame * FRAME for frame, lags in enumerate(delays) if min(lags) >= 0]
    drops: Counter[str] = Counter()
    sets = list(pair_all(once, STREAMS, drops=drops))
    assert [s["color"] for s in sets] == [("color", stamp) for stamp in both]
    assert all(s["color"][1] == s["depth"][1] for s in sets)
    assert 2 * len(sets) + sum(drops.values()) == len(once)
    assert set(drops) <= {"unpaired"}
