"""`hand_pose eval`: `synthetic` measures the whole pipeline, the others networks on data sets and stored scenes."""

from __future__ import annotations

import argparse
from typing import Final

from hand_pose_ros.cli import eval_datasets, eval_scenes, eval_synthetic

WHAT: Final = {
    "synthetic": (eval_synthetic, "the whole pipeline on rendered frames it never saw"),
    "kpt_fusion": (eval_datasets, "Keypoint-Fusion on DexYCB or HO-3D, in the layout of the paper's tables"),
    "scenes": (eval_scenes, "Handformer2T on stored synthetic scenes, its crop taken from the truth"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, (module, text) in WHAT.items():
        chosen = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        module.add_arguments(chosen)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    code: int = WHAT[args.what][0].run(args)
    return code
