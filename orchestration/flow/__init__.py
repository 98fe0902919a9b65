"""What only the flow needs of Prefect."""
