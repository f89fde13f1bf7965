"""Built engines on disk: found by what they depend on, written whole or not at all, built by one process at a time.

The folder is HAND_POSE_ENGINES, else hand_pose_ros/engines in the user's cache (XDG_CACHE_HOME). A file holds a line of
JSON (the key, the plan's size and sha256) and the plan, so that a broken file never reaches TensorRT.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.progress import current_listener

logger = logging.getLogger(__name__)

FOLDER_VARIABLE: Final = "HAND_POSE_ENGINES"
_FORMAT: Final = "hand_pose_ros engine 1"
_LOCK_LOOK_S: Final = 0.5
_LOCK_SAY_S: Final = 30.0


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine is tied to; another value of any is another engine.

    Attributes:
        model: name of the file, for people; the sha256 decides.
        onnx_sha256: of the ONNX file.
        tensorrt: TensorRT's version.
        gpu: the GPU's name.
        compute_capability: "8.7".
        precision: what the builder was told beside the types in the file.
        options: other options of the builder.
    """

    model: str
    onnx_sha256: str
    tensorrt: str
    gpu: str
    compute_capability: str
    precision: str
    options: str

    @property
    def digest(self) -> str:
        """Hexadecimal, of all but the model's name."""
        text = json.dumps({**asdict(self), "model": ""}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def file_name(self) -> str:
        """Of the engine in the store."""
        return f"{_safe(self.model)}-{self.digest[:16]}.engine"

    @property
    def timing_file_name(self) -> str:
        """Of the timing cache: one for each GPU and TensorRT version."""
        return f"timing-{_safe(self.gpu)}-{_safe(self.compute_capability)}-{_safe(self.tensorrt)}.cache"


def default_folder() -> Path:
    """Where engines are kept."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "hand_pose_ros" / "engines"


class EngineStore:
    """A folder of built engines, which several processes may use at once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder

    def path(self, key: EngineKey) -> Path:
        """The file of an engine, there or not."""
        return self.folder / key.file_name

    def load(self, key: EngineKey) -> bytes | None:
        """The plan of an engine; None where there is none, or (logged) its file is broken or of another key."""
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.folder, error) from error
        line, _, plan = data.partition(b"\n")
        reason = _mismatch(line, plan, key)
        if reason is None:
            return plan
        logger.warning("%s: %s; the engine is built anew", path, reason)
        return None

    def save(self, key: EngineKey, plan: bytes) -> Path:
        """Write an engine; readers see the old file or the new one, never a part."""
        about = {"format": _FORMAT, "size": len(plan), "sha256": hashlib.sha256(plan).hexdigest(), "key": asdict(key)}
        path = self.path(key)
        self._write(path, json.dumps(about).encode() + b"\n" + plan)
        return path

    def timing_cache(self, key: EngineKey) -> bytes:
        """What earlier builds on this GPU measured; empty for nothing. TensorRT checks it itself."""
        try:
            return (self.folder / key.timing_file_name).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def save_timing_cache(self, key: EngineKey, data: bytes) -> None:
        """Keep what a build measured; only while the lock is held, since it replaces what was there."""
        if data:
            self._write(self.folder / key.timing_file_name, data)

    def engines(self) -> tuple[tuple[Path, EngineKey], ...]:
        """The engines in the folder, whatever GPU and version they are for."""
        found = []
        for path in sorted(self.folder.glob("*.engine")):
            with path.open("rb") as file:
                key = _key_in(file.readline())
            if key is not None:
                found.append((path, key))
        return tuple(found)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One builder at a time: others wait, say for whom, and go on when it is done or has died.

        One lock for all engines: TensorRT chooses kernels by their time, which a second build would disturb.

        Raises:
            EngineError: the folder cannot be written, or the listener wants the engine no longer.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "build.lock").open("a+b")
        except OSError as error:
            raise _unusable(self.folder, error) from error
        with file:
            self._acquire(file, name)
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "model": name}).encode())
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def _acquire(self, file: BinaryIO, name: str) -> None:
        start, said = time.monotonic(), float("-inf")
        listener = current_listener()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            except OSError as error:
                raise _unusable(self.folder, error) from error
            now = time.monotonic()
            text = f"{name}: waiting for {_holder(file)}, which builds TensorRT engines ({now - start:.0f} s)"
            listener.tell(text)
            if not listener.wanted():
                raise EngineError(f"{name}: the TensorRT engine is not wanted any more, waiting was ended")
            if now - said >= _LOCK_SAY_S:
                said = now
                logger.warning("%s", text)
            time.sleep(_LOCK_LOOK_S)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _unusable(self.folder, error) from error


def _mismatch(line: bytes, plan: bytes, key: EngineKey) -> str | None:
    """Why a file does not hold the engine of this key."""
    about = _about(line)
    if about is None:
        return "not an engine of ours"
    if about["size"] != len(plan) or about["sha256"] != hashlib.sha256(plan).hexdigest():
        return f"expected {about['size']} bytes of the recorded sha256, got {len(plan)} others (a broken file)"
    found, wanted = about["key"], {**asdict(key), "model": about["key"].get("model")}
    different = [
        f"{name} {found.get(name)} instead of {value}" for name, value in wanted.items() if found.get(name) != value
    ]
    return f"made for {', '.join(different)}" if different else None


def _about(line: bytes) -> dict[str, Any] | None:
    try:
        about = json.loads(line)
    except ValueError:
        return None
    ours = isinstance(about, dict) and about.get("format") == _FORMAT and isinstance(about.get("key"), dict)
    return about if ours and {"size", "sha256"} <= about.keys() else None


def _key_in(line: bytes) -> EngineKey | None:
    about = _about(line)
    names = set(EngineKey.__dataclass_fields__)
    return EngineKey(**about["key"]) if about is not None and set(about["key"]) == names else None


def _holder(file: BinaryIO) -> str:
    file.seek(0)
    try:
        told = json.loads(file.read())
        return f"process {told['pid']} ({told['model']})"
    except (ValueError, TypeError, KeyError):  # it has just begun, or just ended
        return "another process"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")


def _unusable(folder: Path, error: OSError) -> EngineError:
    return EngineError(
        f"the folder of engines {folder} cannot be used: {error}; set {FOLDER_VARIABLE} to a folder on a local disk "
        "that you may write to"
    )
