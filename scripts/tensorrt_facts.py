#!/usr/bin/env python3
"""Write down what TensorRT's and cuda-python's Python packages really offer, of all versions that we support.

TensorRT cannot be installed without an NVIDIA machine, but its Python half is on PyPI, and loads when the C functions
that it links to are there. This script gives it empty ones (compiled with gcc), loads it in a process of its own, and
writes classes, methods, arguments, properties and enums to test/engines/tensorrt_facts.json. A test then holds our
engine against that file. Nothing is run: no network is built.

    python scripts/tensorrt_facts.py            # downloads about 80 MB of wheels into a temporary folder
    python scripts/tensorrt_facts.py --check    # the same, but only compares with the file; status 1 where it differs
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

FACTS = Path(__file__).resolve().parents[1] / "test" / "engines" / "tensorrt_facts.json"
# Oldest (JetPack 6), JetPack 7.0 and 7.2, newest.
TENSORRT = {
    "10.3.0": "tensorrt_cu12_bindings==10.3.0",
    "10.13.3.9": "tensorrt_cu13_bindings==10.13.3.9",
    "10.16.1.11": "tensorrt_cu13_bindings==10.16.1.11",
    "11.4.0.106": "tensorrt_cu13_bindings==11.4.0.106",
}
CUDA = {
    "12.2.1": ("cuda.cudart", ["cuda-python==12.2.1"]),
    "12.6.2": ("cuda.bindings.runtime", ["cuda-python==12.6.2.post1"]),
    "12.9.4": ("cuda.bindings.runtime", ["cuda-bindings==12.9.4", "cuda-pathfinder"]),
    "13.1.0": ("cuda.bindings.runtime", ["cuda-bindings==13.1.0", "cuda-pathfinder"]),
}
CLASSES = (
    *("Builder", "IBuilderConfig", "INetworkDefinition", "OnnxParser", "ParserError", "ITimingCache", "IHostMemory"),
    *("Runtime", "ICudaEngine", "IExecutionContext", "ILogger", "IProgressMonitor"),
)
ENUMS = ("BuilderFlag", "NetworkDefinitionCreationFlag", "MemoryPoolType", "DataType", "TensorIOMode", "TensorLocation")
CUDA_NAMES = (
    *("cudaMalloc", "cudaFree", "cudaHostAlloc", "cudaMallocHost", "cudaFreeHost", "cudaHostAllocDefault"),
    *("cudaStreamCreateWithFlags", "cudaStreamDestroy", "cudaStreamSynchronize", "cudaStreamNonBlocking"),
    *("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaMemcpyAsync", "cudaSetDevice", "cudaGetDevice"),
    *("cudaGraphInstantiate", "cudaGraphLaunch", "cudaGraphDestroy", "cudaGraphExecDestroy"),
    *("cudaEventCreateWithFlags", "cudaEventDestroy", "cudaEventRecord", "cudaEventSynchronize"),
    *("cudaEventBlockingSync", "cudaEventDisableTiming", "cudaGetDeviceCount", "cudaGetDeviceProperties"),
    *("cudaGetErrorName", "cudaGetErrorString", "cudaDriverGetVersion", "cudaRuntimeGetVersion"),
)
CUDA_ENUMS = ("cudaMemcpyKind", "cudaStreamCaptureMode")
# Private names, and the layers of hand-made networks: ours come from ONNX.
UNUSED = ("_", "add_")
SYMBOLS = re.compile(r" U (\w+_INTERNAL|get\w*Registry|getNvOnnxParserVersion|initLibNvInferPlugins)$", re.MULTILINE)


def main() -> int:
    """Collect and write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    parser.add_argument("--dump", nargs=2, metavar=("KIND", "MODULE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dump is not None:
        kind, name = options.dump
        json.dump((tensorrt_facts if kind == "tensorrt" else cuda_facts)(importlib.import_module(name)), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(collect(Path(folder)), indent=1, sort_keys=True) + "\n"
    if options.check:
        same = FACTS.read_text() == text
        print("the facts are as in the file" if same else f"{FACTS.name} is not what the packages say")
        return 0 if same else 1
    FACTS.write_text(text)
    return 0


def collect(folder: Path) -> dict[str, Any]:
    """The facts of every version."""
    tensorrt = {}
    for version, wheel in TENSORRT.items():
        place = unpack(folder / f"tensorrt-{version}", [wheel])
        library = next(place.glob("tensorrt_bindings/tensorrt*.so"))
        tensorrt[version] = dump("tensorrt", "tensorrt_bindings", place, stubs(library, place / "stubs"))
    cuda = {}
    for version, (module, wheels) in CUDA.items():
        cuda[version] = dump("cuda", module, unpack(folder / f"cuda-{version}", wheels))
    return {"tensorrt": tensorrt, "cuda": cuda}


def unpack(folder: Path, wheels: list[str]) -> Path:
    """Download wheels of this Python without what they depend on, and unpack them."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "wheels"), *wheels]
    subprocess.run(pip, check=True)
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def stubs(library: Path, folder: Path) -> Path:
    """Libraries with the names that `library` needs and empty functions for those that it calls."""
    folder.mkdir()
    needed = re.findall(r"\[(libnv\w+\.so\.\d+)\]", _output("readelf", "--dynamic", str(library)))
    functions = SYMBOLS.findall(_output("nm", "--dynamic", "--undefined-only", str(library)))
    (folder / "stubs.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
    for name in needed:
        command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(folder / "stubs.c")]
        subprocess.run(command, check=True)
    return folder


def dump(kind: str, module: str, path: Path, libraries: Path | None = None) -> Any:
    """The facts of one version, from a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(path), "LD_LIBRARY_PATH": str(libraries or "")}
    command = [sys.executable, __file__, "--dump", kind, module]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def tensorrt_facts(trt: ModuleType) -> dict[str, Any]:
    """Classes, enums and functions of tensorrt."""
    enums = {name: sorted(getattr(trt, name).__members__) for name in ENUMS}
    enums["ILogger.Severity"] = sorted(trt.ILogger.Severity.__members__)
    functions = {"nptype": [", ".join(inspect.signature(trt.nptype).parameters)]}
    return {"classes": {name: _class(getattr(trt, name)) for name in CLASSES}, "enums": enums, "functions": functions}


def cuda_facts(cudart: ModuleType) -> dict[str, Any]:
    """Functions, flags and enums of cuda-python's runtime module."""
    functions, flags = {}, {}
    for name in CUDA_NAMES:
        value = getattr(cudart, name)
        if isinstance(value, int):
            flags[name] = int(value)
        else:
            functions[name] = _signatures(value, name, typed_last=True)
    enums = {name: {key: int(item) for key, item in getattr(cudart, name).__members__.items()} for name in CUDA_ENUMS}
    enums["cudaError_t"] = {"cudaSuccess": int(cudart.cudaError_t.cudaSuccess)}
    properties = sorted(name for name in dir(cudart.cudaDeviceProp) if name in ("name", "major", "minor"))
    return {"functions": functions, "flags": flags, "enums": enums, "classes": {"cudaDeviceProp": properties}}


def _class(cls: type) -> dict[str, Any]:
    methods, properties = {}, {}
    for name in dir(cls):
        value = getattr(cls, name)
        if isinstance(value, property):
            properties[name] = "read-only" if value.fset is None else "writable"
        elif callable(value) and not isinstance(value, type) and (name == "__init__" or not name.startswith(UNUSED)):
            methods[name] = _signatures(value, name)
    return {"methods": methods, "properties": properties, "buffer": _has_buffer(cls)}


def _signatures(function: Any, name: str, *, typed_last: bool = False) -> list[str]:
    """Argument names of each overload; "flags=" has a default."""
    lines = (function.__doc__ or "").splitlines()
    found = [re.sub(r"^\d+\. ", "", line) for line in lines if re.match(rf"(\d+\. )?{name}\(", line)]
    texts = [text for text in found if "(*args, **kwargs)" not in text]
    return [
        ", ".join(filter(None, map(_argument if not typed_last else _cuda_argument, _split(text)))) for text in texts
    ]


def _split(signature: str) -> list[str]:
    """The arguments between the outermost brackets, split at commas that are in no inner bracket."""
    depth, parts = 0, [""]
    for letter in signature[signature.index("(") :]:
        depth += (letter in "([{<") - (letter in ")]}>")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        elif not (letter == "(" and depth == 1 and parts == [""]):
            parts[-1] += letter
    return [part.strip() for part in parts]


def _argument(text: str) -> str:
    """`flags: int = 0` as "flags=", `self: …` as nothing."""
    name = text.split(":")[0].strip()
    return "" if name in ("", "self") else name + ("=" if " = " in text else "")


def _cuda_argument(text: str) -> str:
    """`unsigned int flags` and `mode: cudaStreamCaptureMode` by their names."""
    return text.split(":")[0].split()[-1] if text else ""


def _has_buffer(cls: type) -> bool:
    """Whether instances give their bytes: the slot tp_as_buffer, bf_getbuffer of CPython's type object (64 bits)."""
    table = ctypes.c_void_p.from_address(id(cls) + 160).value
    return bool(table and ctypes.c_void_p.from_address(table).value)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
