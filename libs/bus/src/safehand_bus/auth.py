"""Who may connect to the bus: one NATS nkey (Ed25519) per service, its seed with that service.

The server's configuration holds public keys only. Source: NATS documentation, "NKeys".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import nkeys
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, read_private, write_atomic
from safehand_core.reasons import Reason

SEED_BYTES: Final = 32


def ensure_seed(path: Path, *, entropy: Entropy | None = None) -> str:
    """Make a user's seed file (0600) where there is none; returns the public key, ``U...``.

    Raises CONFIG_INVALID where the file is open to others or is no seed.
    """
    if not path.exists():
        make_private_dir(path.parent)
        raw = (entropy or SystemEntropy()).bytes(SEED_BYTES)
        write_atomic(path, bytes(nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER)))
    return str(_pair(path).public_key.decode())


def read_seed(path: Path) -> str:
    """The seed of a user, ``SU...``; raises CONFIG_INVALID as ``ensure_seed`` does."""
    _pair(path)
    return read_private(path).decode("ascii").strip()


def _pair(path: Path) -> Any:
    try:
        return nkeys.from_seed(bytearray(read_private(path).strip()))
    except (nkeys.NkeysError, ValueError):
        raise SafehandError(Reason.CONFIG_INVALID, "a NATS seed file is not a seed") from None
