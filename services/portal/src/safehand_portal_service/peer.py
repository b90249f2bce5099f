"""Where a request comes from, as a word that nobody can turn back into an address or a browser.

Consent shares out the tries at a card by turns, first among networks and then among the browsers
in each, so that somebody who guesses elsewhere, or beside her with another phone, does not take
hers. It gets hashes under a salt that lives as long as this process. Nothing is left on her device:
a browser is known by what it says of itself, which others may say too.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Final

SALT_BYTES: Final = 32
IPV4_PREFIX: Final = 24
"""Bits of an IPv4 address that count: who has a /24 can use all of it."""
IPV6_PREFIX: Final = 56
"""Bits of an IPv6 address that count: what a household gets."""

HALF_BYTES: Final = 16
"""Of a word: one half for the network, one for the browser in it."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def word(
    salt: bytes,
    peer: str,
    forwarded: str,
    proxies: tuple[Network, ...],
    browser: tuple[str, ...] = (),
) -> bytes:
    """32 bytes: 16 for the network of the request and 16 for the browser in it, which tell nothing
    of the same browser in another network. Empty where the network cannot be told.

    Args:
        salt: of this process.
        peer: the address of the connection.
        forwarded: ``X-Forwarded-For``, all of it; read only if ``peer`` is one of ``proxies``.
        proxies: who may say for whom it asks.
        browser: what the browser says of itself.
    """
    address = _address(peer)
    if address is None:
        return b""
    if _one_of(address, proxies):
        for hop in reversed(forwarded.split(",")):
            nearer = _address(hop.strip())
            if nearer is None:
                break
            address = nearer
            if not _one_of(address, proxies):
                break
    bits = IPV4_PREFIX if address.version == 4 else IPV6_PREFIX
    network = str(ipaddress.ip_network((address, bits), strict=False))
    return _half(salt, network) + _half(salt, network, *browser)


def _half(salt: bytes, *said: str) -> bytes:
    # No header holds a line break.
    return hashlib.sha256(salt + "\n".join(said).encode()).digest()[:HALF_BYTES]


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return found


def _one_of(address: _Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
