"""Her pages; each module gives ``ROUTES``."""
