"""Engines run networks: one interface over TensorRT, ONNX Runtime and torch, and the files they run."""
