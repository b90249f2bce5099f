"""Starts the lot as real processes, for tests of the whole."""
