"""Live inference: packages in ONNX Runtime behind the Open Inference Protocol, routed by unit, every answer logged."""
