"""File formats: reading a file, and checking whether it can be trusted."""
