"""Engines run networks: one interface over ONNX Runtime and torch, and the files they run."""
