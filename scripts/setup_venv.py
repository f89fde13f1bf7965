#!/usr/bin/env python3
"""Make a virtual environment for this checkout: `setup_venv.py run .venv` to use it, `… dev .venv-dev` to develop it.

Runs on any Python >= 3.8 with nothing installed. Running it again costs a fraction of a second while nothing it depends
on has changed. What must come from apt (python3-venv; for dev also software OpenGL and Python's headers) is installed
when we may (root, or sudo without a password), else the command to type is printed.
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
TORCH = "torch==2.13.0"
DEV_PACKAGES = ("scipy", "scikit-image", "matplotlib")  # the hand model's generator and its tests
ACCEPTED = {"run": ("3.10", "3.11", "3.12", "3.13"), "dev": ("3.11", "3.12")}


class SetupError(RuntimeError):
    """Something is missing that we cannot install; the text is the remedy."""


def main() -> int:
    """Make the environment named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(ACCEPTED))
    parser.add_argument("venv", type=Path)
    options = parser.parse_args()
    try:
        setup(options.kind, options.venv.resolve())
    except SetupError as error:
        sys.stderr.write(f"setup_venv: {error}\n")
        return 1
    return 0


def setup(kind: str, venv: Path) -> None:
    """Create `venv` and install this checkout into it, editable."""
    stamp = venv / "setup.sha256"
    wanted = digest(kind)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    python = venv / "bin" / "python"
    if not python.exists():
        make_venv(find_python(kind), venv)
    if kind == "dev":
        apt_install("libegl1", "libgl1-mesa-dri", "libusb-1.0-0")
        need_headers(python)
        pip(python, "install", TORCH, *DEV_PACKAGES)
        pip(python, "install", "--editable", f"{REPOSITORY}[train,synthetic,realsense,dev]")
    else:
        pip(python, "install", "--editable", str(REPOSITORY))
    stamp.write_text(wanted)


def digest(kind: str) -> str:
    """Changes when the environment must be made anew."""
    text = "\0".join((kind, (REPOSITORY / "pyproject.toml").read_text(), Path(__file__).read_text()))
    return hashlib.sha256(text.encode()).hexdigest()


def find_python(kind: str) -> str:
    """An interpreter of an accepted version: python3 itself, one on the PATH, or pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")))
    candidates = [shutil.which("python3")]
    for version in ACCEPTED[kind]:
        candidates += [shutil.which(f"python{version}")]
        candidates += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate and version_of(candidate) in ACCEPTED[kind]:
            return candidate
    raise SetupError(
        f"expected a Python of {', '.join(ACCEPTED[kind])}, found none; apt-get install python3 python3-venv"
    )


def version_of(python: str) -> str:
    """Its version as "3.11"; empty where it does not run (a pyenv shim may refuse)."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def make_venv(python: str, venv: Path) -> None:
    """`python -m venv`, with Debian's separate package for it where that is missing."""
    command = [python, "-m", "venv", str(venv)]
    if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return
    shutil.rmtree(venv, ignore_errors=True)
    apt_install(f"python{version_of(python)}-venv")
    run(command)


def need_headers(python: Path) -> None:
    """Python's C headers, which our messages' extensions are compiled against."""
    code = "import sysconfig, os; print(os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    if done.stdout.strip() != "True":
        apt_install(f"python{version_of(str(python))}-dev")


def apt_install(*packages: str) -> None:
    """Install the Debian packages that are not there."""
    missing = [name for name in packages if not installed(name)]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-qq", *missing]
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (prefix and not shutil.which("sudo")):
        raise SetupError(f"these packages are missing: {' '.join(missing)}; install them and run this again")
    subprocess.run([*prefix, "apt-get", "update", "-qq"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = subprocess.run([*prefix, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SetupError(f"could not install {' '.join(missing)}; run: sudo {' '.join(command)}\n{done.stdout[-1000:]}")


def installed(package: str) -> bool:
    """Whether dpkg knows it as installed (False where there is no dpkg)."""
    if not shutil.which("dpkg-query"):
        return False
    done = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True)
    return done.stdout.endswith("ok installed")


def pip(python: Path, *arguments: str) -> None:
    """The environment's pip, quiet unless it fails."""
    run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


def run(command: list[str]) -> None:
    """Run a command quietly; on failure show what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command[:6])} ... failed with status {done.returncode}:\n{done.stdout[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
