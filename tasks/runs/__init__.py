"""Runs on the disk: ids, checkpoints, logs, records, and the released ones."""
