"""The referral service: agencies, directory and referrals; ciphertext that it cannot open."""
