"""Entry point; see ``main``."""

import sys

from safehand_referral_service.main import main

sys.exit(main())
