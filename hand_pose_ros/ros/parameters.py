"""ROS parameters from the configuration dataclasses: declared once, checked once, read as one frozen object.

Every leaf of a configuration class becomes a parameter of its dotted name with its help text, range and choices.
Only options marked `dynamic` can be set while the node runs; the others are read-only. An unknown name is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from hand_pose_ros.options import ConfigError, Option, build, flatten, options, replace

T = TypeVar("T")

# Parameters that rclpy itself declares on a node.
_OWN_OF_RCLPY = ("use_sim_time", "start_type_description_service")
_OWN_PREFIXES_OF_RCLPY = ("qos_overrides.",)


def declare_config(node: Node, cls: type[T]) -> T:
    """Declare every option of `cls` on `node` and return the values given to the node.

    Raises:
        ConfigError: a value of the wrong type or out of its range, or a parameter no option is named after.
    """
    known = {item.name: item for item in options(cls)}
    _check_names(_overrides(node), known)
    values = {}
    for item in known.values():
        try:
            values[item.name] = node.declare_parameter(item.name, item.default, descriptor(item)).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            given = _overrides(node)[item.name].value
            hint = " (write 1.0, not 1)" if item.type is float and isinstance(given, int) else ""
            raise ConfigError(f"parameter {item.name}: expected {_expectation(item)}{hint}, got {given!r}") from error
    return build(cls, values)


def descriptor(item: Option) -> ParameterDescriptor:
    """What `ros2 param describe` shows of an option."""
    result = ParameterDescriptor(name=item.name, description=item.help, read_only=not item.dynamic)
    if item.choices is not None:
        result.additional_constraints = "one of: " + ", ".join(map(str, item.choices))
    bounded = item.minimum is not None and item.maximum is not None
    if bounded and item.type is float:
        limits = FloatingPointRange(from_value=float(item.minimum), to_value=float(item.maximum), step=0.0)  # type: ignore[arg-type]
        result.floating_point_range = [limits]
    elif bounded and item.type is int:
        limits = IntegerRange(from_value=int(item.minimum), to_value=int(item.maximum), step=1)  # type: ignore[arg-type]
        result.integer_range = [limits]
    return result


def changed_config(
    config: T, parameters: Sequence[Parameter], check: Callable[[T], None] = lambda config: None
) -> tuple[T, SetParametersResult]:
    """`config` with `parameters` set, and the answer to whoever set them; refused settings leave it as it was.

    `check` raises `ConfigError` for what types and ranges do not tell.
    """
    ours = flatten(config)
    values = {item.name: item.value for item in parameters if item.name in ours}
    try:
        changed = replace(config, values)
        check(changed)
    except ConfigError as error:
        return config, SetParametersResult(successful=False, reason=str(error))
    return changed, SetParametersResult(successful=True)


def _overrides(node: Node) -> Mapping[str, Parameter]:
    # rclpy has no public way to list values that were given for undeclared names; without it a misspelt name in a
    # parameter file would be ignored silently. The attribute has this name from Humble to Rolling.
    overrides: Mapping[str, Parameter] = node._parameter_overrides
    return overrides


def _check_names(given: Mapping[str, Any], known: Mapping[str, Option]) -> None:
    unknown = sorted(
        name
        for name in given
        if name not in known and name not in _OWN_OF_RCLPY and not name.startswith(_OWN_PREFIXES_OF_RCLPY)
    )
    if unknown:
        raise ConfigError(f"unknown parameter(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def _expectation(item: Option) -> str:
    text = item.type.__name__
    if item.choices is not None:
        return f"{text}, one of {', '.join(map(str, item.choices))}"
    if item.minimum is not None and item.maximum is not None:
        return f"{text} from {item.minimum:g} to {item.maximum:g}"
    return text
