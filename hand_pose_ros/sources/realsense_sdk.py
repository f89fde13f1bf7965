"""The RealSense SDK's Python package: loading it, the devices it finds, and what is wrong where it does not."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from hand_pose_ros.sources.errors import SourceError

USB3: Final = "plug it into a USB 3 port with a USB 3 cable (without a hub)"
MISSING: Final = (
    "plug it in, look for it with `lsusb -d 8086:` and `rs-enumerate-devices`, install librealsense's udev rules "
    "(99-realsense-libusb.rules), and in a container pass /dev/bus/usb"
)


class CameraError(SourceError):
    """A camera that cannot be used as asked for; the text has the remedy."""


class CameraMissing(CameraError):
    """No camera is connected, or not the one asked for, or it gives no frames: it may come (back)."""


def sdk() -> ModuleType:
    """pyrealsense2.

    Raises:
        CameraError: it is not installed, or does not load.
    """
    try:
        import pyrealsense2
    except ImportError as error:
        if "libusb" in str(error):
            raise CameraError(f"pyrealsense2 does not load ({error}): apt install libusb-1.0-0") from error
        raise CameraError(
            f"pyrealsense2 is needed to read a RealSense in this process ({error}): pip install pyrealsense2, "
            "apt install libusb-1.0-0; or run realsense2_camera and subscribe to its topics (source:=topics)"
        ) from error
    found: ModuleType = pyrealsense2
    return found


def connected() -> list[Any]:
    """The RealSense devices of this machine.

    Raises:
        CameraError: pyrealsense2 is not installed.
    """
    try:
        return list(sdk().context().query_devices())
    except RuntimeError as error:
        raise CameraMissing(f"the RealSense SDK cannot list devices ({error}): {MISSING}") from error


def info(item: Any, name: str) -> str:
    """What a device or sensor says of itself, "" where it says nothing."""
    key = getattr(sdk().camera_info, name)
    return str(item.get_info(key)) if item.supports(key) else ""
