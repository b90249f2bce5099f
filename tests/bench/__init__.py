"""The measuring commands still run, and refuse where a figure would mean nothing."""
