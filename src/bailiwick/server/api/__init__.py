"""The native API under `/api/v1`: one table of routes, one table of errors, and handlers that call services."""
