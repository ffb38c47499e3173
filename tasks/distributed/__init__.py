"""Training by several processes and machines."""
