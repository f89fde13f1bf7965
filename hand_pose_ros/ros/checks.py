"""What a parameter's type, range and choices do not tell: values that fit each other, and the model."""

from __future__ import annotations

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.inside import parse_joint
from hand_pose_ros.pipeline.outside import parse_region
from hand_pose_ros.pipeline.pipeline import Pipeline


def check_values(config: NodeConfig) -> None:
    """Raises `ConfigError` where a text cannot be read."""
    pipeline = config.pipeline
    parse_region(pipeline.finder.roi)
    if pipeline.min_depth >= pipeline.max_depth:
        raise ConfigError(
            "pipeline.min_depth: expected less than pipeline.max_depth, got "
            f"{pipeline.min_depth:g} and {pipeline.max_depth:g}"
        )
    parse_joint(config.publish.inside)


def check_images(pipeline: Pipeline, config: NodeConfig) -> None:
    """Raises `ConfigError` where the model would drop every frame, for want of a kind of image."""
    needed = {"use_depth": pipeline.needs_depth, "use_color": pipeline.needs_color}
    for name, needs in needed.items():
        if needs and not getattr(config.topics, name):
            raise ConfigError(
                f"topics.{name}: expected true, since the model {config.pipeline.model} sees nothing without, got "
                "false; set it to true or choose another model (handformer2t_lite works without depth, "
                "kpt_fusion_lite without colour)"
            )
