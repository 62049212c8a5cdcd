"""Who may act: identities, the tokens that prove them, and the roles that say what they may do."""
