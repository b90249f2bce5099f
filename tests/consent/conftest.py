"""One consent service for each test, settled, checked by fsck when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_rpc.tls import TlsFiles

from tests.consent.put_off import PUT_OFF, Watch, watched
from tests.consent.world import World, certificates


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    return certificates(tmp_path_factory.mktemp("consent-tls"))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Nothing that a test does reads what may not be written yet."""
    watch = watched(monkeypatch)
    yield watch
    assert watch.seen == []
    assert watch.put_off <= PUT_OFF


@pytest.fixture
def bare_world(tmp_path: Path, tls: dict[str, TlsFiles], watch: Watch) -> Iterator[World]:
    """A service that was just started for the first time: nobody is enrolled."""
    world = World(tmp_path, tls).start()
    try:
        yield world
    finally:
        world.stop()
    world.check_ledger()
    world.store.drop()


@pytest.fixture
def world(bare_world: World) -> World:
    """haven, legal and clinic are enrolled; haven and legal have a protocol."""
    return bare_world.settle()


@pytest.fixture
def her(world: World) -> bytes:
    """Her session: card 1, known to haven."""
    world.register("haven", 1, "her-at-haven")
    return world.sign_in(1)
