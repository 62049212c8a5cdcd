"""The Open Inference Protocol v2 over gRPC, answered by the same handler as over HTTP."""
