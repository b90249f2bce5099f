"""Entry point; see ``main``."""

import sys

from safehand_notify_service.main import main

sys.exit(main())
