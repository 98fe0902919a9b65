"""The lake: every version of every published file, byte for byte, and the catalog of them."""
