"""What every part of safehand shares: clock, randomness, errors, canonical JSON, failpoints."""
