"""The sandbox's parties: one folder each, with its own keys and trust (PROTOCOL rule 10).

``authority/`` is the operator's development CA. Nothing in ``parties/`` trusts it for anything
but TLS: agency keys are made by the agencies, and pinned.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from safehand_bus.link import SERVER_NAME
from safehand_client import Addresses, Party
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.ca import DevCa
from safehand_rpc.identity import TRUST_DOMAIN
from safehand_store.location import Location, locate

SERVICES: Final = ("consent", "referral", "notify")
PORTAL: Final = "portal"
"""Her pages: a party with certificates and nothing else, neither database nor keys of its own."""
AGENCIES: Final = {
    "agency-a": "Harbour House (TEST)",
    "agency-b": "Lantern Law Centre (TEST)",
}
MARKER: Final = "safehand-sandbox"
"""Only a folder that holds this file is ever emptied."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The folder ``root`` of one sandbox."""

    root: Path

    @property
    def authority(self) -> Path:
        return self.root / "authority"

    def party_dir(self, name: str) -> Path:
        return self.root / "parties" / name

    def party(self, name: str) -> Party:
        return Party.open(self.party_dir(name))

    def service_tls(self, name: str) -> Path:
        """The running service's certificate; ``tls/`` beside it is its operator's."""
        return self.party_dir(name) / "service-tls"

    @property
    def nats_tls(self) -> Path:
        """The bus's own certificate."""
        return self.root / "nats" / "tls"

    def data(self, name: str) -> Path:
        return self.party_dir(name) / "data"

    def database(self, service: str) -> Location:
        """Its SQLite file, unless ``database.url`` in the party's folder names another."""
        named = self.database_url(service)
        return locate(named) if named else self.data(service) / f"{service}.sqlite3"

    def database_url(self, service: str) -> str:
        """What ``database.url`` says; "" where there is none."""
        file = self.party_dir(service) / "database.url"
        return file.read_text(encoding="utf-8").strip() if file.exists() else ""

    def name_database(self, service: str, url: str) -> None:
        """Let the service use the PostgreSQL database ``url``, from its next start on."""
        self._private(self.party_dir(service))
        (self.party_dir(service) / "database.url").write_text(url + "\n", encoding="utf-8")

    def logs(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    @property
    def vkey_file(self) -> Path:
        return self.party_dir("consent") / "keys" / "public" / "vkey"

    @property
    def token_key_file(self) -> Path:
        return self.party_dir("consent") / "keys" / "public" / "token.hex"

    def create(self) -> None:
        """Make authority and parties where they do not exist yet."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.root / MARKER).touch()
        self._private(self.root / "parties")
        for name in (*SERVICES, *AGENCIES, "her", "oversight"):
            self._private(self.party_dir(name))
        if (self.authority / "ca.pem").exists():
            authority = DevCa.load(self.authority)
        else:
            authority = DevCa.create(self.authority)
        for service in SERVICES:
            self._issue(authority, self.service_tls(service), f"service/{service}")
            self._issue(authority, self.party_dir(service) / "tls", f"operator/{service}")
            self._private(self.data(service))
            self._private(self.party_dir(service) / "keys")
        if not (self.nats_tls / "cert.pem").exists():
            # A name and no SPIFFE id: no gRPC server takes the bus for anybody.
            self._private(self.nats_tls.parent)
            authority.issue_raw(self.nats_tls, [x509.DNSName(SERVER_NAME)])
        self._private(self.party_dir(PORTAL))
        self._private(self.data(PORTAL))
        self._issue(authority, self.service_tls(PORTAL), f"service/{PORTAL}")
        self._issue(authority, self.party_dir(PORTAL) / "tls", f"operator/{PORTAL}")
        for agency in AGENCIES:
            self._issue(authority, self.party_dir(agency) / "tls", f"agency/{agency}")
        self._issue(authority, self.party_dir("her") / "tls", "service/portal")
        self._issue(authority, self.party_dir("oversight") / "tls", "oversight/board")
        for name in (*AGENCIES, "her", "oversight"):
            for folder in ("keys", "trust", "state"):
                self._private(self.party_dir(name) / folder)
        self._private(self.party_dir("consent") / "anchor")
        self._private(self.party_dir("referral") / "trust")

    def hand_over_public_keys(self) -> None:
        """Give the ledger's vkey to everyone who checks, and the token key to referral.

        In the sandbox one machine plays all parties; in production each pins the vkey from
        another channel.
        """
        vkey = self.vkey_file.read_text()
        for name in (*AGENCIES, "her", "oversight", "referral"):
            (self.party_dir(name) / "trust" / "ledger.vkey").write_text(vkey)
        token = self.token_key_file.read_text()
        (self.party_dir("referral") / "trust" / "token.hex").write_text(token)

    def write_addresses(self, addresses: Addresses) -> None:
        """Tell every party where the services listen."""
        text = json.dumps(
            {
                "consent": addresses.consent,
                "referral": addresses.referral,
                "notify": addresses.notify,
            }
        )
        for name in (*SERVICES, *AGENCIES, "her", "oversight"):
            (self.party_dir(name) / "addresses.json").write_text(text)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else runs or empties this sandbox inside the block.

        Raises CONFIG_INVALID where the folder is something else, or another process holds it. The
        kernel lets go of it when the holder ends, however it ends.
        """
        marker = self.root / MARKER
        if self.root.exists() and any(self.root.iterdir()) and not marker.exists():
            raise SafehandError(Reason.CONFIG_INVALID, "the folder exists and is no sandbox")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with marker.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SafehandError(
                    Reason.CONFIG_INVALID,
                    "another safehand up runs in this folder: stop it, or choose one with --dir",
                    metadata={"folder": str(self.root)},
                ) from None
            yield

    def wipe(self) -> bool:
        """Empty a folder that was a sandbox, all but its marker; leaves any other folder alone.

        Says whether there was anything. Call it inside ``held``.
        """
        if not (self.root / MARKER).exists():
            return False
        found = [path for path in self.root.iterdir() if path.name != MARKER]
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return bool(found)

    @staticmethod
    def _issue(authority: DevCa, folder: Path, principal: str) -> None:
        if not (folder / "cert.pem").exists():
            authority.issue(folder, f"spiffe://{TRUST_DOMAIN}/{principal}")

    @staticmethod
    def _private(folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
