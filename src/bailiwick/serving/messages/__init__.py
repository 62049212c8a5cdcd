"""The messages of gRPC inference, apart from the calls that carry them: they are on record too."""
