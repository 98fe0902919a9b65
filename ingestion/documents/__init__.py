"""Reads the text of a document, page by page, in a separate process."""
