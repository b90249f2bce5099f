"""Bugs that other systems of this field shipped, each with a test that would catch it here."""
