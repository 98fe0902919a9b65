"""The kind of source that publishes files: a file a month, or one that is replaced in place."""
