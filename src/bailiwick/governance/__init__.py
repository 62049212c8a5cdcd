"""Who must agree before a version is promoted: policies, approvals with evidence, model cards."""
