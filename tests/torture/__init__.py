"""Faults at random moments, and what they cost: see `python -m tests.torture --help`."""
