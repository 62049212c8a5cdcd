"""bqemulator, answering BigQuery's clients: `python bigquery_server.py PORT`, in the Python of `.warehouses/bigquery`.

Geography needs an extension of DuckDB from the network, and is not asked for here.
"""

import sys

from bqemulator.cli import main
from bqemulator.storage.engine import DuckDBEngine

DuckDBEngine._load_spatial = lambda self: None
sys.argv = ["bqemulator", "start", "--rest-port", sys.argv[1], "--grpc-port", "0", "--project", "lake"]
main()
