"""The constituents of jets clustered again: one kernel, and what is read off its steps."""
