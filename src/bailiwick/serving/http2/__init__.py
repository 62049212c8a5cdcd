"""HTTP/2 on one connection, as far as gRPC needs it."""
