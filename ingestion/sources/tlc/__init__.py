"""New York City's Taxi and Limousine Commission: what it publishes."""
