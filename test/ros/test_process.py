"""The program as a process: killed and started again, and told to end in whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

from diagnostic_msgs.msg import DiagnosticArray
from ros_camera import Camera
from std_msgs.msg import Bool

from hand_pose_ros.ros.ending import GRACE_S
from hand_pose_ros.ros.outputs import LATCHED_QOS

SUPPORT = Path(__file__).parents[1] / "support"
PATIENCE = 60.0  # seconds; of a busy machine, not of the node


class Program:
    """The node in a process; its output is gathered."""

    def __init__(self, where: str, *parameters: str) -> None:
        given = [item for text in ("pipeline.mesh:=false", *parameters) for item in ("-p", text)]
        self.process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "ros_process.py"), where, "--ros-args", *given],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def end(self, how: signal.Signals) -> int:
        """Its exit status; a process that does not end fails the test."""
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.wait()


def test_killed_and_started_again(ros: Ros, programs: list[Program]) -> None:
    """Whoever listens goes on listening; nothing of the dead node stands in the way of the new one."""
    camera = Camera(ros)
    tracked = ros.listen(Bool, "/hand_pose/right_tracked", LATCHED_QOS)
    for _ in range(2):
        programs.append(Program("nowhere"))
        before = len(tracked)
        # Before any picture: a latched value that is found late is the newest only.
        wait_for(lambda: len(tracked) > before, "the side's flag", timeout=PATIENCE)  # noqa: B023
        assert not tracked[before].data, "it begins with: nothing seen"
        camera.answers.clear()
        wait_for(lambda: bool(camera.answers) or not camera.shoot(), "results", timeout=PATIENCE, pause=0.1)
        assert camera.answers[-1].hands
        assert programs[-1].end(signal.SIGKILL) == -signal.SIGKILL


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN], ids=["in front", "in the background"])
def started(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is started meanwhile begins with interrupts heard, or ignored as a shell has it in the background."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("where", ["nowhere", "unconfigured", "configure", "process"])
def test_it_ends_when_told_to_whatever_it_does(ros: Ros, programs: list[Program], where: str) -> None:
    """In the middle of loading and in the middle of a frame too; without a traceback, and with status 0."""
    camera = Camera(ros)
    statuses = ros.listen(DiagnosticArray, "/diagnostics")
    program = Program(where, "publish.diagnostics_period:=0.1", *(["autostart:=false"] * (where == "unconfigured")))
    programs.append(program)
    reached = {
        "nowhere": lambda: bool(camera.answers),
        "unconfigured": lambda: bool(statuses),
        "configure": lambda: program.said("HANGING"),
        "process": lambda: program.said("HANGING"),
    }[where]
    wait_for(lambda: reached() or not camera.shoot(), where, timeout=PATIENCE, pause=0.1)
    status = program.end(signal.SIGINT)
    text = "".join(program.lines)
    assert "Traceback" not in text and status == 0, text
    assert ("by force" in text) is (where == "process")  # loading is waited for in a way that a signal ends
    assert GRACE_S < 2.0
