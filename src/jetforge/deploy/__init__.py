"""Taggers at work: scores to files."""
