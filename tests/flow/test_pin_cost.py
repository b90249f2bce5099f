"""What a guess at a stolen PIN costs, where consent runs as it is run by others."""

from __future__ import annotations

from typing import Final

from tests.harness.world import World

OWASP: Final = "$argon2id$v=19$m=19456,t=2,p=1$"
"""OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane."""


def test_a_process_of_its_own_hashes_at_the_full_cost(world: World) -> None:
    """Tests that run consent in their own process hash quickly (``tests/conftest.py``)."""
    world.person()
    hashes = [
        str(found) for (found,) in world.stores["consent"].rows("SELECT pin_hash FROM subject")
    ]
    assert hashes
    assert all(found.startswith(OWASP) for found in hashes)
