"""Story: registered versions become the steps of a new one, in one ONNX graph where they can, else run one after another."""
