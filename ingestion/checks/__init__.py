"""Whether a downloaded file can be trusted to be what its name says."""
