"""Measuring: how fast the parts are, as tables for docs/."""
