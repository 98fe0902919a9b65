"""Parts that only the Prefect flow needs."""
