"""``make bench``: the figures of the system as ratios to what the machine itself can do.

Absolute milliseconds say more about a disk than about this system, so every figure is divided by
what was measured beside it in the same run: the time of an ``fdatasync`` in the same directory,
and an echo through the same interceptor chain over the same TLS. ``rows`` holds one file a row.
What must always hold (no disclosure after a stop, nothing lost) is a test, not a benchmark.
"""
