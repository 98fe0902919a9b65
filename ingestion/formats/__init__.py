"""File formats: how a file is read, and whether it can be trusted."""
