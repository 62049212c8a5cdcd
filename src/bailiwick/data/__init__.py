"""Datasets: sources, immutable snapshots, statistics, schema, anomalies, and comparison with a stated error rate."""
