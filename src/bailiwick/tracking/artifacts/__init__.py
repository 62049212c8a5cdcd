"""Files of runs and models: written whole or not at all, listed, read in part, and known by their digests."""
