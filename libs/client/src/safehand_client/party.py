"""One party's folder: its keys, what it trusts, and where it calls (PROTOCOL rule 10).

``tls/`` certificate, key and authority; ``keys/`` its own secrets; ``trust/`` what it pinned
(the ledger's vkey, peers' identity keys, protocols); ``state/`` heads seen, sealed drafts;
``addresses.json``. No process is given another party's folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safehand_core.errors import SafehandError
from safehand_core.keystore import FileKeystore
from safehand_core.reasons import Reason
from safehand_rpc.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class Addresses:
    """``host:port`` of each service."""

    consent: str
    referral: str
    notify: str


@dataclass(frozen=True, slots=True)
class Party:
    """The folder ``root`` of the party called ``name``."""

    name: str
    root: Path

    @classmethod
    def open(cls, root: Path) -> Party:
        """The party at ``root``; raises CONFIG_INVALID where there is none."""
        if not (root / "tls" / "cert.pem").is_file():
            raise SafehandError(Reason.CONFIG_INVALID, "the folder holds no party")
        return cls(root.name, root)

    @property
    def tls(self) -> TlsFiles:
        tls = self.root / "tls"
        return TlsFiles(cert=tls / "cert.pem", key=tls / "key.pem", ca=tls / "ca.pem")

    @property
    def keys(self) -> FileKeystore:
        return FileKeystore(self.root / "keys")

    @property
    def trust(self) -> Path:
        return self.root / "trust"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def addresses(self) -> Addresses:
        """Where the services listen; raises CONFIG_INVALID where nobody wrote it down."""
        try:
            found = json.loads((self.root / "addresses.json").read_text())
            return Addresses(found["consent"], found["referral"], found["notify"])
        except (OSError, ValueError, KeyError) as error:
            raise SafehandError(
                Reason.CONFIG_INVALID, "addresses.json is missing; is safehand up?"
            ) from error
