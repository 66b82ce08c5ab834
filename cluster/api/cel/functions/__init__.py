"""What expressions may call: a module per subject, and the library of them all."""
