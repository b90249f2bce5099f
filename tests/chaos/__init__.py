"""Ten minutes of load while everything is killed at random: ``make chaos``."""
