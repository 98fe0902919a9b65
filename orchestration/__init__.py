"""Sequences the stages. Holds no logic about trips or files."""

# the deployment as prefect.yaml names it: flow and name
NIGHTLY = "nightly/nightly"
