"""Runs the stages in order. Holds no logic about trips or files."""

# the flow and the name of the deployment, as in prefect.yaml
NIGHTLY = "nightly/nightly"
