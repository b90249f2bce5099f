"""Entry point; see ``main``."""

import sys

from safehand_consent_service.main import main

sys.exit(main())
