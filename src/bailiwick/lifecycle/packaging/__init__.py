"""Story: a version that MLflow logged becomes a package: ONNX where that answers as the model does, Python otherwise."""
