"""Where data comes from: what each source publishes, and how one item is fetched."""
