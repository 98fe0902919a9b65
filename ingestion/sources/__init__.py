"""Sources of data: what each source publishes, and how one file is fetched."""
