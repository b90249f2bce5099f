"""Not part of the public surface."""
