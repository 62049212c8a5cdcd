"""SQL warehouses as engines: each by its vendor's connector, which is an extra."""
