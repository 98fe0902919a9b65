"""Runs the stages in order. Holds no logic about trips or files."""

# the flows and the names of their deployments, as in prefect.yaml
NIGHTLY = "nightly/nightly"
VERIFY = "verify/weekly"
