"""Where state lives: SQL records, content-addressed blobs, Delta tables, and the journal of every change."""
