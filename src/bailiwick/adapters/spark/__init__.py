"""Spark: statistics, validation, comparison, fitting and transformation where the rows are."""
