"""Entry point; see ``main``."""

import sys

from safehand_portal_service.main import main

sys.exit(main())
