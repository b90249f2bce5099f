"""Traces and metrics that cannot carry personal data."""
