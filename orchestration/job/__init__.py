"""The job as plain functions, without Prefect."""
