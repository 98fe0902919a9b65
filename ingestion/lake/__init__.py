"""The lake: bytes as published, every version of them, and the catalog of versions."""
