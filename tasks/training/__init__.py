"""Training: from a command line to steps, checkpoints and a stop."""
