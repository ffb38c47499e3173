"""Scores on data with ground truth, and flow for the benchmarks' servers."""
