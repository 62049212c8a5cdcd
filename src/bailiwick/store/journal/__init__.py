"""The append-only journal: one entry a change, integrated into an RFC 6962 Merkle tree, published as tiles and checkpoints."""
