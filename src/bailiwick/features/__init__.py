"""Features: transforms declared in the project file, fitted once, compiled to the one ONNX graph that trains and serves."""
