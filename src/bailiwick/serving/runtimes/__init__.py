"""Runtimes beside ONNX Runtime and Python, and what opens a package of any kind."""
