"""Who may do what: authentication, impersonation, authorization."""
