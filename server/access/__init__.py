"""Who may do what, where: organizations, workspaces, people, tokens, secrets, and the audit trail of all of it."""
