"""Objects that clients send in parts, each part straight to the object store by a signed URL."""
