"""The schema of a dataset: TFDV's `Schema` proto, inferred once, then reviewed and kept in git as text."""

from bailiwick.data.schema.inference import infer_schema
from bailiwick.data.schema.text import parse_schema, read_schema, schema_text, write_schema

__all__ = ["infer_schema", "parse_schema", "read_schema", "schema_text", "write_schema"]
