"""TensorRT's Python package: that it is there and new enough, its log in ours, and how far it has got with building."""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from hand_pose_ros.engines.base import EngineError

logger = logging.getLogger(__name__)

# JetPack 6 has 10.3; older ones lack strong typing in the form used here.
OLDEST: Final = (10, 3)


class TensorRtMissing(EngineError):
    """TensorRT, cuda-python or a GPU is not there."""


def import_tensorrt() -> ModuleType:
    """The tensorrt module.

    Raises:
        TensorRtMissing: it is not installed, does not load, or is too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    # OSError: a library that it links to is absent (libnvdla_compiler.so in containers on JetPack 7.2).
    except (ImportError, OSError) as error:
        raise TensorRtMissing(
            f"engine tensorrt was asked for, but it does not run here: the package tensorrt does not load ({error}). "
            "On a Jetson it comes with JetPack (apt install python3-libnvinfer; a virtual environment needs "
            "--system-site-packages), elsewhere with `pip install tensorrt`"
        ) from error
    if version(trt) < OLDEST:
        raise TensorRtMissing(
            f"engine tensorrt was asked for, but it does not run here: expected TensorRT "
            f"{'.'.join(map(str, OLDEST))} or newer, got {trt.__version__}; JetPack 6 brings 10.3"
        )
    return trt


def version(trt: ModuleType) -> tuple[int, int]:
    """Major and minor version."""
    major, minor = (int(part) for part in str(trt.__version__).split(".")[:2])
    return major, minor


def make_logger(trt: ModuleType) -> Any:
    """A `trt.ILogger` that writes to Python's log; errors are also kept, for the text of exceptions.

    It must live as long as what was made with it.
    """
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.ERROR,
        trt.ILogger.Severity.WARNING: logging.WARNING,
        trt.ILogger.Severity.INFO: logging.DEBUG,
    }

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            """Called by TensorRT, from any thread; it must not raise."""
            level = levels.get(severity)
            if level is None:  # VERBOSE: thousands of lines
                return
            if level == logging.ERROR:
                self.errors.append(msg)
            logger.log(level, "TensorRT: %s", msg)

    return Log()


def last_errors(log: Any) -> str:
    """What TensorRT complained of last, for the text of an exception."""
    return "; ".join(log.errors[-3:]) or "TensorRT gave no reason"


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildState:
    """How far a build is. TensorRT's threads write, the waiting thread reads and may ask for an early end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._root = ""
        self.cancelled = False

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            if parent not in self._phases:
                parent, self._root = None, phase
            self._phases[phase] = _Phase(parent, max(1, steps))

    def step(self, phase: str) -> bool:
        """A step of a phase is done; False asks TensorRT to stop."""
        with self._lock:
            if phase in self._phases:
                self._phases[phase].done += 1
            return not self.cancelled

    def finish(self, phase: str) -> None:
        """A phase is done."""
        with self._lock:
            self._phases.pop(phase, None)

    def text(self) -> str:
        """The outermost phase and its percentage, in which begun inner phases count for their part."""
        with self._lock:
            if self._root not in self._phases:
                return ""
            return f"{self._root} {100 * self._part(self._root):.0f} %"

    def _part(self, name: str) -> float:
        phase = self._phases[name]
        inner = [self._part(other) for other, item in self._phases.items() if item.parent == name]
        return min(1.0, (phase.done + max(inner, default=0.0)) / phase.steps)


def make_monitor(trt: ModuleType, state: BuildState) -> Any:
    """A `trt.IProgressMonitor` that keeps `state`, and does nothing else: an exception in it would end the process."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            state.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return state.step(phase_name)

        def phase_finish(self, phase_name: str) -> None:
            state.finish(phase_name)

    return Monitor()
