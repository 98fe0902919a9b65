"""The kind of source that is a REST API, asked by dlt's ``rest_api`` source."""
