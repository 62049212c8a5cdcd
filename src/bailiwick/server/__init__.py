"""The control plane over HTTP: the native API under `/api/v1`, pages under `/`, metrics and health."""
