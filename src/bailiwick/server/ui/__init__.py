"""Pages rendered on the server: templates, charts, style. They show what the services say and hold no rules."""
