"""`hand_pose`: one command, a module per subcommand, imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from hand_pose_ros import __version__
from hand_pose_ros.cli.errors import UsageError

# Name -> what it does. The module is hand_pose_ros.cli.<name>; it offers add_arguments(parser) and run(args) -> int.
COMMANDS: Final = {
    "bag": "find the hands in a recording; write a bag, pictures, a film and the figures",
    "images": "find the hands in colour and depth pictures",
    "synth": "render synthetic data sets",
    "train": "train a network on synthetic hands",
    "export": "write a trained network as a calibrated ONNX model",
    "eval": "measure the pipeline on held-out data",
    "camera": "find the hands before a RealSense, live, without ROS",
    "engine": "build TensorRT engines ahead of time, check them against ONNX Runtime, list them",
    "doctor": "say what is installed, what runs, what the camera gives, and what to do about the rest",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for something the user can mend, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(_command_in(arguments)).parse_args(arguments)
        logging.basicConfig(
            level=logging.DEBUG if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
        )
        code: int = _module(args.command).run(args)
    except _user_errors() as error:
        print(f"hand_pose: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hand_pose: interrupted", file=sys.stderr)
        return 130
    return code


def _command_in(arguments: Sequence[str]) -> str | None:
    """The subcommand, found before parsing so that only its module is imported."""
    return next((word for word in arguments if word in COMMANDS), None)


def _parser(command: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hand_pose",
        description="Metric 3D human hands from RGB-D recordings and pictures.",
        epilog="`hand_pose COMMAND --help` tells a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"hand_pose_ros {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log what is done and which engine runs")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        chosen = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == command:
            _module(name).add_arguments(chosen)
    return parser


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"hand_pose_ros.cli.{command}")


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors whose text already says what to do. Anything else is a fault of ours and keeps its traceback."""
    from hand_pose_ros.datasets.synthetic.renderer import RendererUnavailable
    from hand_pose_ros.engines.base import EngineError
    from hand_pose_ros.hand_model.mano_file import ModelFileError
    from hand_pose_ros.options import ConfigError
    from hand_pose_ros.sources.errors import SourceError
    from hand_pose_ros.types import InvalidData
    from hand_pose_ros.visualization.video import VideoError

    return (
        UsageError,
        ConfigError,
        EngineError,
        ModelFileError,
        SourceError,
        InvalidData,
        RendererUnavailable,
        VideoError,
    )


if __name__ == "__main__":
    sys.exit(main())
