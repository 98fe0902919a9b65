"""dlt destinations whose load jobs keep a file as it is, and may be run any number of times."""
