"""Every name of TensorRT and cuda-python that our engine uses is in the real packages, of every supported version.

tensorrt_facts.json was read from the packages themselves; scripts/tensorrt_facts.py writes it and says how.
"""

from __future__ import annotations

import ast
import enum
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import fake_cuda
import fake_tensorrt
import pytest

FACTS = json.loads(Path(__file__).with_name("tensorrt_facts.json").read_text())
TENSORRT, CUDA = FACTS["tensorrt"], FACTS["cuda"]
MODULES = sorted((Path(__file__).parents[2] / "hand_pose_ros" / "engines").glob("tensorrt_*.py"))
# What a variable of this name is in our modules.
VARIABLES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "parser_error": "ParserError",
    "timing_cache": "ITimingCache",
    "measured": "ITimingCache",
    "host_memory": "IHostMemory",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
# Doubles, and what they stand for.
DOUBLES = {
    fake_tensorrt.Builder: "Builder",
    fake_tensorrt.Network: "INetworkDefinition",
    fake_tensorrt.BuilderConfig: "IBuilderConfig",
    fake_tensorrt.TimingCache: "ITimingCache",
    fake_tensorrt.ParserError: "ParserError",
    fake_tensorrt.OnnxParser: "OnnxParser",
    fake_tensorrt.Runtime: "Runtime",
    fake_tensorrt.CudaEngine: "ICudaEngine",
    fake_tensorrt.ExecutionContext: "IExecutionContext",
    fake_tensorrt.FakeTensorRt.ILogger: "ILogger",
}
FOR_TESTS = {"faults", "builds", "fits", "check_logger"}


def fits(call: ast.Call, signatures: list[str]) -> bool:
    """Whether the arguments of a call are those of one overload, as "a, b, c="."""
    given = len(call.args)
    names = {keyword.arg for keyword in call.keywords}
    for signature in signatures:
        arguments = [name for name in signature.split(", ") if name]
        required = {name for name in arguments[given:] if not name.endswith("=")}
        rest = {name.rstrip("=") for name in arguments[given:]}
        if given <= len(arguments) and required <= names and names <= rest:
            return True
    return False


def chain(node: ast.AST) -> list[str]:
    """`a.b.c` as ["a", "b", "c"]; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [*parts, node.id][::-1] if isinstance(node, ast.Name) else []


def uses(tree: ast.AST) -> Iterator[tuple[list[str], ast.Attribute, ast.AST | None]]:
    """Every outermost chain of attributes with the node around it; `self._cudart` counts as `cudart`."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        parent = parents.get(node)
        if isinstance(node, ast.Attribute) and not isinstance(parent, ast.Attribute):
            names = chain(node)
            yield (["cudart", *names[2:]] if names[:2] == ["self", "_cudart"] else names), node, parent


def member_problem(facts: Mapping[str, Any], cls: str, names: list[str], node: ast.Attribute, around: Any) -> str:
    """What is wrong with `variable.member`; empty where it is real and used as what it is."""
    known = facts["classes"][cls]
    if len(names) != 1:
        return "a part of a part"
    (name,) = names
    if name in known["methods"]:
        called = isinstance(around, ast.Call) and around.func is node
        return "" if called and fits(around, known["methods"][name]) else "not called with these arguments"
    if name in known["properties"]:
        if isinstance(around, ast.Call) and around.func is node:
            return "not a method"
        writable = known["properties"][name] == "writable"
        return "" if writable or isinstance(node.ctx, ast.Load) else "read-only"
    return "no such member"


def module_problem(facts: Mapping[str, Any], names: list[str], node: ast.Attribute, around: Any) -> str:
    """What is wrong with `trt.….…`."""
    first, rest = names[0], names[1:]
    called = isinstance(around, ast.Call) and around.func is node
    if first == "__version__":
        return ""
    if first in facts["functions"]:
        return "" if called and fits(around, facts["functions"][first]) else "not called with these arguments"
    for count in (2, 1):
        if (members := facts["enums"].get(".".join(names[:count]))) is not None:
            return "" if not names[count:] or names[count:][0] in members else "no such member"
    if first not in facts["classes"]:
        return "no such name"
    if not rest and called:
        return "" if fits(around, facts["classes"][first]["methods"]["__init__"]) else "not made of these arguments"
    return "" if not rest or rest == ["__init__"] else "no such member"


def cuda_problem(facts: Mapping[str, Any], names: list[str], node: ast.Attribute, around: Any) -> str:
    """What is wrong with `cudart.….…`."""
    if names[0] in facts["functions"]:
        called = isinstance(around, ast.Call) and around.func is node
        return "" if called and fits(around, facts["functions"][names[0]]) else "not called with these arguments"
    if names[0] in facts["enums"]:
        return "" if len(names) == 2 and names[1] in facts["enums"][names[0]] else "no such member"
    return "" if names[0] in facts["flags"] and len(names) == 1 else "no such name"


def problems(source: str, file: str = "") -> tuple[list[str], int]:
    """What the real packages do not have of that which a module uses, and how many uses were looked at."""
    found, count = [], 0
    for names, node, around in uses(ast.parse(source)):
        if len(names) < 2:
            continue
        first, rest = names[0], names[1:]
        for version, facts in (CUDA if first in ("cudart", "properties") else TENSORRT).items():
            if first == "cudart":
                problem = cuda_problem(facts, rest, node, around)
            elif first == "properties":
                problem = "" if rest[0] in facts["classes"]["cudaDeviceProp"] else "no such member"
            elif first == "trt":
                problem = module_problem(facts, rest, node, around)
            elif first in VARIABLES:
                problem = member_problem(facts, VARIABLES[first], rest, node, around)
            else:
                break
            count += 1
            if problem:
                found.append(f"{file}:{node.lineno}: {'.'.join(names)} in {version}: {problem}")
    return found, count


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_name_argument_and_enum_is_real(path: Path) -> None:
    found, _ = problems(path.read_text(), path.name)
    assert found == []


def test_the_look_at_the_modules_sees_what_they_use() -> None:
    counts = {path.stem: problems(path.read_text())[1] for path in MODULES}
    assert counts["tensorrt_build"] > 15 * len(TENSORRT)
    assert counts["tensorrt_session"] > 10 * len(TENSORRT)
    assert counts["tensorrt_cuda"] > 25 * len(CUDA)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("trt.BuilderFlag.FP16", "in 11.4.0.106: no such member"),
        ("trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH", "in 11.4.0.106: no such member"),
        ("engine.device_memory_size", "in 11.4.0.106: no such member"),
        ("builder.platform_has_fast_fp16", "in 11.4.0.106: no such member"),
        ("engine.get_binding_name(0)", "in 10.3.0: no such member"),
        ("trt.volume((1,))", "in 10.3.0: no such name"),
        ("builder.build_serialized_network(network)", "in 10.3.0: not called with these arguments"),
        ("builder.build_serialized_network(network, config, 1)", "in 10.3.0: not called with these arguments"),
        ("parser.parse(b'', file=1)", "in 10.3.0: not called with these arguments"),
        ("parser.num_errors()", "in 10.3.0: not a method"),
        ("parser.num_errors", ""),
        ("builder.build_serialized_network(network, config)", ""),
        ("parser.num_errors = 1", "in 10.3.0: read-only"),
        ("trt.Runtime()", "in 10.3.0: not made of these arguments"),
        ("cudart.cudaMalloc()", "in 12.2.1: not called with these arguments"),
        ("cudart.cudaMemcpyKind.cudaMemcpyHostToGpu", "in 12.2.1: no such member"),
        ("cudart.cudaGraphInstantiate(graph, None, b'', 0)", "in 12.2.1: not called with these arguments"),
    ],
)
def test_the_look_finds_what_is_not_real(source: str, message: str) -> None:
    found, _ = problems(source)
    assert (any(message in line for line in found)) if message else found == []


@pytest.mark.parametrize("version", TENSORRT)
def test_our_callbacks_have_the_arguments_that_tensorrt_gives(version: str) -> None:
    (path,) = [path for path in MODULES if path.stem == "tensorrt_api"]
    checked = 0
    for node in ast.walk(ast.parse(path.read_text())):
        bases = [chain(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
        for name in [base[1] for base in bases if base[:1] == ["trt"]]:
            known = TENSORRT[version]["classes"][name]["methods"]
            ours = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}  # type: ignore[attr-defined]
            assert ours.keys() == {method for method in known if method in ours or method != "__init__"}
            for method, function in ours.items():
                assert ", ".join(argument.arg for argument in function.args.args[1:]) in known[method]
                checked += 1
    assert checked == 6  # a logger of 2 and a monitor of 4 methods


def test_what_is_given_back_serialised_has_the_buffer_protocol() -> None:
    assert all(facts["classes"]["IHostMemory"]["buffer"] for facts in TENSORRT.values())
    assert not any(facts["classes"]["ITimingCache"]["buffer"] for facts in TENSORRT.values())


@pytest.mark.parametrize(("double", "real"), DOUBLES.items(), ids=lambda item: getattr(item, "__name__", item))
def test_the_doubles_offer_only_what_is_real(double: type, real: str) -> None:
    for version, facts in TENSORRT.items():
        known = facts["classes"][real]
        for name, value in vars(double).items():
            if isinstance(value, property):
                assert name in known["properties"], f"{version}: {real}.{name}"
            elif isinstance(value, FunctionType) and not name.startswith("_"):
                assert offers(signature(value), known["methods"][name]), f"{version}: {real}.{name}"
        for name in inspect.get_annotations(double):
            assert known["properties"][name] == "writable", f"{version}: {real}.{name}"


@pytest.mark.parametrize("version", TENSORRT)
def test_the_double_of_the_module_offers_only_what_is_real(version: str) -> None:
    facts = TENSORRT[version]
    for name, value in vars(fake_tensorrt.FakeTensorRt).items():
        if isinstance(value, type) and issubclass(value, enum.Enum):
            assert set(value.__members__) <= set(facts["enums"][name]), name
        elif isinstance(value, FunctionType) and name in facts["classes"]:
            assert offers(signature(value), facts["classes"][name]["methods"]["__init__"])
        elif isinstance(value, FunctionType) and not name.startswith("_") and name not in FOR_TESTS:
            assert offers(signature(value), facts["functions"][name]), name
    severities = fake_tensorrt.FakeTensorRt.ILogger.Severity.__members__
    assert sorted(severities) == facts["enums"]["ILogger.Severity"]


@pytest.mark.parametrize("version", CUDA)
def test_the_double_of_cuda_offers_only_what_is_real(version: str) -> None:
    facts = CUDA[version]
    for name, value in vars(fake_cuda.FakeCudart).items():
        if not name.startswith("cuda") or name == "cudaError_t":
            continue
        if isinstance(value, FunctionType):
            assert offers(signature(value), facts["functions"][name]), name
        elif isinstance(value, int):
            assert facts["flags"][name] == value, name
        else:
            assert all(facts["enums"][name][key] == item.value for key, item in value.__members__.items()), name
    assert fake_cuda.CudaError.cudaSuccess == facts["enums"]["cudaError_t"]["cudaSuccess"]


def signature(function: FunctionType) -> str:
    """The arguments as in the facts."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return ", ".join(item.name + ("" if item.default is item.empty else "=") for item in parameters)


def offers(ours: str, real: list[str]) -> bool:
    """Whether the real thing takes these arguments: all of an overload, but for some at its end that have defaults."""
    arguments = list(filter(None, ours.split(", ")))
    for overload in real:
        known = list(filter(None, overload.split(", ")))
        if known[: len(arguments)] == arguments and all(name.endswith("=") for name in known[len(arguments) :]):
            return True
    return False
