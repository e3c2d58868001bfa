"""HTTP: a client that tries again, sessions without logins, reads by range."""
