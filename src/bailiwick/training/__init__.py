"""Training: the user's fit function, tuning, packaging as one ONNX file, and the parity gate that the package must pass."""
