"""The newest-wins worker and the counting, without a node."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from needs import needs_ros

needs_ros()

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from hand_pose_ros.ros.diagnostics import Monitor, Once, Silence, diagnostic_array
from hand_pose_ros.ros.inputs import serialized_stamp_ns
from hand_pose_ros.ros.worker import NewestWorker


def test_newest_wins() -> None:
    """While one item is at work, of all that come only the last is taken after it."""
    entered, release = threading.Event(), threading.Event()
    seen: list[int] = []
    replaced: Counter[str] = Counter()

    def process(item: int) -> None:
        seen.append(item)
        entered.set()
        release.wait(10)

    worker = NewestWorker(process, lambda: replaced.update(["one"]), lambda error: None)
    worker.start()
    worker.submit(0)
    assert entered.wait(10)
    for item in range(1, 6):
        worker.submit(item)
        assert worker.waiting == 1
    entered.clear()
    release.set()
    assert entered.wait(10)
    worker.stop()
    assert seen == [0, 5]
    assert replaced["one"] == 4


def test_stopping_is_repeatable_and_restart_forgets() -> None:
    seen: list[int] = []
    done = threading.Event()

    def process(item: int) -> None:
        seen.append(item)
        done.set()

    worker = NewestWorker(process, lambda: None, lambda error: None)
    worker.stop()
    worker.submit(1)  # nobody takes it
    worker.start()
    with pytest.raises(RuntimeError, match="runs already"):
        worker.start()
    worker.submit(2)
    assert done.wait(10)
    worker.stop()
    worker.stop()
    assert seen == [2]


def test_failure_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", lambda arguments: None)
    failures: list[BaseException] = []
    failed = threading.Event()

    def hand_on(error: BaseException) -> None:
        failures.append(error)
        failed.set()

    def process(item: int) -> None:
        raise ZeroDivisionError(item)

    worker = NewestWorker(process, lambda: None, hand_on)
    worker.start()
    worker.submit(3)
    assert failed.wait(10)
    worker.stop()
    assert isinstance(failures[0], ZeroDivisionError)


@pytest.mark.parametrize(
    ("message", "big_endian"),
    [(b"\0\1\0\0" + bytes([1, 0, 0, 0, 2, 0, 0, 0]), False), (b"\0\0\0\0" + bytes([0, 0, 0, 1, 0, 0, 0, 2]), True)],
)
def test_stamp_is_read_from_serialised_bytes(message: bytes, big_endian: bool) -> None:
    assert serialized_stamp_ns(message) == 1_000_000_002


def test_monitor_reports_rates_per_period_and_totals() -> None:
    monitor = Monitor(now_s=10.0)
    for index in range(20):
        monitor.received()
        if index % 2:
            monitor.published(1, 0.02 + index * 1e-4, 0.01)
        else:
            monitor.dropped("newer_frame")
    first = monitor.report(12.0, {"unpaired": 3})
    assert (first.input_rate, first.output_rate) == (10.0, 5.0)
    assert first.drops == {"newer_frame": 10, "unpaired": 3} == first.new_drops
    assert first.latency_ms is not None and 20.0 < first.latency_ms[0] < first.latency_ms[2] < 22.0
    second = monitor.report(13.0, {"unpaired": 4})
    assert second.frames_in == 0 and second.new_drops == {"unpaired": 1} and second.drops["newer_frame"] == 10
    assert monitor.totals().frames_in == 20


@pytest.mark.parametrize(
    ("received", "published", "latency", "active", "level", "text"),
    [
        (0, 0, 0.0, False, DiagnosticStatus.OK, "inactive"),
        (0, 0, 0.0, True, DiagnosticStatus.WARN, "no complete frames"),
        (3, 0, 0.0, True, DiagnosticStatus.WARN, "no result"),
        (3, 3, 0.02, True, DiagnosticStatus.OK, "running"),
        (3, 3, 9999.0, True, DiagnosticStatus.OK, "another clock"),
    ],
)
def test_diagnostic_levels(
    received: int, published: int, latency: float, active: bool, level: bytes, text: str
) -> None:
    monitor = Monitor(0.0)
    for _ in range(received):
        monitor.received()
    for _ in range(published):
        monitor.published(0, latency, 0.01)
    array = diagnostic_array(Header(), "hand_pose", monitor.report(1.0), active, {"model": "m", "engine": "e"})
    status = array.status[0]
    assert status.level == level and text in status.message
    assert {"model", "engine", "input rate (Hz)"} <= {item.key for item in status.values}


def test_stages_are_told() -> None:
    monitor = Monitor(0.0)
    monitor.received()
    for spent in (4.0, 6.0, 8.0):
        monitor.published(1, 0.02, 0.01, {"infer": spent, "decode": 1.0})
    report = monitor.report(1.0)
    assert report.stages_ms["infer"][0] == 6.0
    array = diagnostic_array(Header(), "hand_pose", report, True, {})
    values = {item.key: item.value for item in array.status[0].values}
    assert values["stage infer p50 / p95 (ms)"] == "6.0 / 7.8"
    assert values["stage decode p50 / p95 (ms)"] == "1.0 / 1.0"


@pytest.mark.parametrize(
    ("latency", "reason", "text"),
    [(-2.0, None, "2000 ms ahead of this machine's clock"), (0.02, "no_transform", "(no_transform 3)")],
)
def test_what_is_wrong_is_named(latency: float, reason: str | None, text: str) -> None:
    monitor = Monitor(0.0)
    monitor.received()
    if reason is None:
        monitor.published(0, latency, 0.01)
    else:
        monitor.dropped(reason, 3)
    status = diagnostic_array(Header(), "hand_pose", monitor.report(1.0), True, {}).status[0]
    assert status.level == DiagnosticStatus.WARN and text in status.message


def test_an_event_is_said_once_and_again_when_it_comes_back() -> None:
    said: list[str] = []
    now = [0.0]
    once = Once(said.append, lambda: now[0])
    for second in range(0, 100, 10):
        now[0] = float(second)
        once(f"image of {second} bytes")
    assert said == ["image of 0 bytes"], "numbers differ, the event does not"
    now[0] += 61.0
    once("image of 7 bytes")
    once("another thing")
    assert said[1:] == ["image of 7 bytes", "another thing"]
    for index in range(200):
        once("".join(chr(97 + int(digit)) for digit in str(index)))
    assert len(said) <= 52, "not without end"


def test_silence_is_said_once_when_it_lasts() -> None:
    silence, depth = Silence(), ("/depth",)
    told = [silence.news(topics) for topics in (depth, (), depth, depth, depth, (), (), ())]
    assert [text is not None for text in told] == [False, False, False, True, False, False, True, False]
    assert "/depth" in str(told[3]) and told[6] == "all topics are heard"
