"""What the node says of itself on /diagnostics: rates, latency, drops by reason, engine, model and pairing.

Latency runs from the image's stamp (exposure, by the camera's clock) to the moment the result is published, by the
node's clock; processing runs from the arrival of the last image of a set, by a monotonic clock.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

# Percentiles are over the last frames only, so that they follow the present state.
_WINDOW = 300
# Stamps this far from the node's clock are of another clock: a bag is played without use_sim_time, or the like.
_OTHER_CLOCK_S = 60.0
# So many different texts are said once.
_MAX_REMEMBERED = 50
# What comes again after such a pause (s) is another event.
_EVENT_S = 60.0
_NUMBER = re.compile(r"\d+(\.\d+)?")
# Results that are older than nothing by so much (s) come of clocks that differ.
_AHEAD_S = 0.05


@dataclass(frozen=True)
class Report:
    """The state of a node over the period since the report before.

    `latency_ms` and `processing_ms` are (p50, p95, p99) of the last frames, None before the first; `drops` count from
    the start, `new_drops` within the period. On the topics `silent` nothing came within the period. `stages_ms` are
    percentiles like these of each stage of the work.
    """

    period_s: float
    frames_in: int
    frames_out: int
    hands: int
    latency_ms: tuple[float, float, float] | None
    processing_ms: tuple[float, float, float] | None
    drops: Mapping[str, int] = field(default_factory=dict)
    new_drops: Mapping[str, int] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    stages_ms: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def input_rate(self) -> float:
        """Complete frames per second that came in."""
        return self.frames_in / self.period_s if self.period_s > 0 else 0.0

    @property
    def output_rate(self) -> float:
        """Results per second that went out."""
        return self.frames_out / self.period_s if self.period_s > 0 else 0.0


@dataclass(frozen=True)
class Totals:
    """What happened since the start; `drops` has 0 for reasons that did not occur."""

    frames_in: int
    frames_out: int
    drops: Counter[str]


class Monitor:
    """Counts what happens to frames. All methods may be called from any thread."""

    def __init__(self, now_s: float) -> None:
        self._lock = threading.Lock()
        self._since = now_s
        self._frames_in = 0
        self._frames_out = 0
        self._reported_in = 0
        self._reported_out = 0
        self._hands = 0
        self._latency: deque[float] = deque(maxlen=_WINDOW)
        self._processing: deque[float] = deque(maxlen=_WINDOW)
        self._stages: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self._drops: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()

    def received(self) -> None:
        """A complete frame came in."""
        with self._lock:
            self._frames_in += 1

    def dropped(self, reason: str, count: int = 1) -> None:
        """Frames (or hands) were thrown away."""
        with self._lock:
            self._drops[reason] += count

    def published(
        self, hands: int, latency_s: float, processing_s: float, stages_ms: Mapping[str, float] | None = None
    ) -> None:
        """A result went out; `stages_ms` says where the time went."""
        with self._lock:
            self._frames_out += 1
            self._hands = hands
            self._latency.append(latency_s * 1e3)
            self._processing.append(processing_s * 1e3)
            for stage, spent in (stages_ms or {}).items():
                self._stages[stage].append(spent)

    def forget_latency(self) -> None:
        """After a jump of the clock, differences to old stamps mean nothing."""
        with self._lock:
            self._latency.clear()

    def report(
        self, now_s: float, other_drops: Mapping[str, int] | None = None, silent: tuple[str, ...] = ()
    ) -> Report:
        """The state since the last report. `other_drops` are running totals kept elsewhere (the pairer's)."""
        with self._lock:
            drops = self._drops + Counter(other_drops or {})
            result = Report(
                now_s - self._since,
                self._frames_in - self._reported_in,
                self._frames_out - self._reported_out,
                self._hands,
                _percentiles(self._latency),
                _percentiles(self._processing),
                dict(drops),
                dict(drops - self._reported),
                silent,
                {stage: triple for stage, spent in self._stages.items() if (triple := _percentiles(spent))},
            )
            self._since, self._reported = now_s, drops
            self._reported_in, self._reported_out = self._frames_in, self._frames_out
            return result

    def totals(self) -> Totals:
        """The counts since the start."""
        with self._lock:
            return Totals(self._frames_in, self._frames_out, Counter(self._drops))


class Once:
    """Passes a text on once per event: again only when it has not come for a while.

    Texts that differ in numbers only are one. So many different ones are remembered at most.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._last: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        kind, now = _NUMBER.sub("#", text), self._clock()
        known = kind in self._last
        new = now - self._last[kind] > _EVENT_S if known else len(self._last) < _MAX_REMEMBERED
        if known or new:
            self._last[kind] = now
        if new:
            self._say(text)


class Silence:
    """Says once which topics are silent, when they have been so in two reports running, and once that all are heard."""

    def __init__(self) -> None:
        self._last: tuple[str, ...] = ()
        self._said: tuple[str, ...] = ()

    def news(self, silent: tuple[str, ...]) -> str | None:
        """What there is to say after a period in which these topics were silent."""
        lasting = silent == self._last
        self._last = silent
        if not lasting or silent == self._said:
            return None
        self._said = silent
        return f"nothing comes on {', '.join(silent)}; check the topics" if silent else "all topics are heard"


def building_array(header: Header, node: str, text: str) -> DiagnosticArray:
    """The message while an engine is built, which takes minutes before the first frame."""
    status = DiagnosticStatus(level=DiagnosticStatus.WARN, name=f"{node}: hands", message=text)
    return DiagnosticArray(header=header, status=[status])


def diagnostic_array(
    header: Header, node: str, report: Report, active: bool, facts: Mapping[str, str]
) -> DiagnosticArray:
    """The message of one report; `facts` (engine, model, …) are shown as they are."""
    level, text = _judge(report, active)
    values = {**facts, **_values(report)}
    status = DiagnosticStatus(
        level=level,
        name=f"{node}: hands",
        message=text,
        hardware_id=facts.get("model", ""),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    return DiagnosticArray(header=header, status=[status])


def _judge(report: Report, active: bool) -> tuple[bytes, str]:
    if not active:
        return DiagnosticStatus.OK, "inactive"
    if report.frames_in == 0:
        reasons = [f"{reason} {count}" for reason, count in sorted(report.new_drops.items())]
        silence = [f"nothing on {', '.join(report.silent)}; check the topics"] if report.silent else []
        return (
            DiagnosticStatus.WARN,
            f"no complete frames ({', '.join([*silence, *reasons]) or 'nothing fits together'})",
        )
    if report.frames_out == 0:
        reasons = [f"{reason} {count}" for reason, count in sorted(report.new_drops.items())]
        return (
            DiagnosticStatus.WARN,
            f"frames come in, no result goes out ({', '.join(reasons) or 'the engine is busy'})",
        )
    if report.silent:
        return DiagnosticStatus.WARN, f"running, but nothing comes on {', '.join(report.silent)}"
    if report.latency_ms is not None and abs(report.latency_ms[0]) > _OTHER_CLOCK_S * 1e3:
        return DiagnosticStatus.OK, "running; stamps are of another clock (use_sim_time?)"
    if report.latency_ms is not None and report.latency_ms[0] < -_AHEAD_S * 1e3:
        ahead = -report.latency_ms[0]
        return (
            DiagnosticStatus.WARN,
            f"running; stamps are {ahead:.0f} ms ahead of this machine's clock (set both: chrony)",
        )
    return DiagnosticStatus.OK, "running"


def _values(report: Report) -> dict[str, str]:
    values = {
        "input rate (Hz)": f"{report.input_rate:.1f}",
        "output rate (Hz)": f"{report.output_rate:.1f}",
        "hands": str(report.hands),
    }
    for name, triple in (("latency from stamp", report.latency_ms), ("processing", report.processing_ms)):
        for percent, value in zip((50, 95, 99), triple or (), strict=False):
            values[f"{name} p{percent} (ms)"] = f"{value:.1f}"
    for stage, (p50, p95, _) in report.stages_ms.items():
        values[f"stage {stage} p50 / p95 (ms)"] = f"{p50:.1f} / {p95:.1f}"
    for reason, count in sorted(report.drops.items()):
        values[f"dropped: {reason}"] = str(count)
    return values


def _percentiles(samples: deque[float]) -> tuple[float, float, float] | None:
    if not samples:
        return None
    p50, p95, p99 = np.percentile(np.array(samples), (50, 95, 99)).tolist()
    return p50, p95, p99
