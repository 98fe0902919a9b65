"""Who is told when a night is not as it should be."""
