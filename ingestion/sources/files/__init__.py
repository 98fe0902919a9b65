"""The kind of source that publishes files: one for each month, or one that is replaced."""
