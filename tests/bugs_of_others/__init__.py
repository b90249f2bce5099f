"""Real bugs of other consent and referral systems, tried on this one."""
