"""The kind of source that publishes documents: any files, each with versions of its own."""
