"""The command line as such: help, versions, errors, and what is not imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hand_pose_ros import __version__
from hand_pose_ros.cli import main as cli
from hand_pose_ros.cli.errors import UsageError, load


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"hand_pose {command}" in out
    assert cli.COMMANDS[command][1:] in " ".join(out.split())


@pytest.mark.parametrize("argv", [[], ["frobnicate"], ["bag"], ["bag", "x.mcap", "--frobnicate"]])
def test_a_wrong_command_line_ends_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["bag", "/nowhere/x.mcap"], "no such recording"),
        (["bag", "x.mcap", "--tracking.min-score", "3"], "tracking.min_score: expected 0.0 to 1.0, got 3.0"),
        (["bag", "x.mcap", "--config", "/nowhere/c.yaml"], "No such file"),
        (["bag", "x.mcap", "--pictures", "-1"], "expected 0 or more"),
        (["images", "--intrinsics", "1", "1", "0", "0"], "expected pictures"),
        (["images", "--intrinsics", "1", "1", "0", "0", "--color", "a", "--depth", "a", "b"], "as many depth"),
        (["eval", "synthetic", "--count", "0"], "at least 1"),
    ],
)
def test_a_users_mistake_is_one_line_and_2(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("hand_pose: error: ")
    assert says in captured.err
    assert "Traceback" not in captured.err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: object) -> int:
        raise KeyError("ours")

    monkeypatch.setattr("hand_pose_ros.cli.bag.run", broken)
    with pytest.raises(KeyError):
        cli.main(["bag", "x.mcap"])


def test_interrupting_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("hand_pose_ros.cli.bag.run", interrupted)
    assert cli.main(["bag", "x.mcap"]) == 130


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    monkeypatch.setitem(sys.modules, "needs_it", None)
    with pytest.raises(ModuleNotFoundError):
        load("needs_it")

    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'moderngl'", name="moderngl")

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(UsageError, match=r"hand_pose_ros\[synthetic\]"):
        load("hand_pose_ros.datasets.synthetic.renderer")


def test_running_needs_no_training_packages() -> None:
    code = (
        "import sys\n"
        "from hand_pose_ros.cli.main import _parser, COMMANDS\n"
        "early = {'cv2', 'numpy', 'onnxruntime', 'rosbags'} & set(sys.modules)\n"
        "assert not early, early\n"
        "for command in COMMANDS: _parser(command)\n"
        "late = {'torch', 'lightning', 'moderngl', 'smplx', 'onnx', 'rclpy'} & set(sys.modules)\n"
        "assert not late, late\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
