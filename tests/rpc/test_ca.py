"""The development CA: what it writes, and what it puts into certificates."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from safehand_core.clock import ManualClock
from safehand_core.reasons import Reason
from safehand_rpc.ca import BACKDATE_S, LEAF_DAYS, DevCa
from safehand_rpc.tls import TlsFiles, TlsWatch, read_material

from tests.rpc.conftest import refusal

HARBOUR = "spiffe://safehand.example/agency/harbour"
CONSENT = "spiffe://safehand.example/service/consent"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def leaf(files: TlsFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.cert.read_bytes())


def names(files: TlsFiles) -> list[str]:
    found = leaf(files).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in found.value]


def test_secret_files_are_closed_to_others(tmp_path: Path) -> None:
    files = DevCa.create(tmp_path / "ca").issue(tmp_path / "one", HARBOUR)
    assert mode(tmp_path / "ca") == mode(tmp_path / "one") == 0o700
    assert mode(tmp_path / "ca" / "ca-key.pem") == mode(files.key) == 0o600
    assert {p.name for p in (tmp_path / "one").iterdir()} == {"cert.pem", "key.pem", "ca.pem"}


def test_an_agency_gets_its_name_and_nothing_else(tmp_path: Path) -> None:
    ca = DevCa.create(tmp_path / "ca")
    assert names(ca.issue(tmp_path / "one", HARBOUR)) == [HARBOUR]
    more = ca.issue(tmp_path / "two", HARBOUR, dns=["harbour.example"])
    assert names(more) == [HARBOUR, "harbour.example"]


def test_a_service_gets_the_names_it_is_recognised_by(tmp_path: Path) -> None:
    files = DevCa.create(tmp_path / "ca").issue(tmp_path / "one", CONSENT)
    assert names(files) == [CONSENT, "127.0.0.1", "consent.safehand.example", "localhost"]


def test_a_certificate_is_short_lived_and_starts_a_little_early(tmp_path: Path) -> None:
    clock = ManualClock(wall=1_800_000_000)
    found = leaf(DevCa.create(tmp_path / "ca", clock=clock).issue(tmp_path / "one", HARBOUR))
    now = datetime.datetime.fromtimestamp(clock.wall(), datetime.UTC)
    assert found.not_valid_before_utc == now - datetime.timedelta(seconds=BACKDATE_S)
    assert found.not_valid_after_utc == now + datetime.timedelta(days=LEAF_DAYS)


def test_a_loaded_authority_issues_like_the_one_that_was_made(tmp_path: Path) -> None:
    made = DevCa.create(tmp_path / "ca")
    loaded = DevCa.load(tmp_path / "ca")
    assert loaded.certificate_pem == made.certificate_pem
    files = loaded.issue(tmp_path / "one", HARBOUR)
    leaf(files).verify_directly_issued_by(x509.load_pem_x509_certificate(made.certificate_pem))


def test_a_key_can_be_kept_over_a_renewal(tmp_path: Path) -> None:
    ca, key = DevCa.create(tmp_path / "ca"), ec.generate_private_key(ec.SECP256R1())
    first = ca.issue(tmp_path / "one", HARBOUR, key=key)
    before = first.cert.read_bytes()
    assert ca.issue(tmp_path / "one", HARBOUR, key=key).key.read_bytes() == first.key.read_bytes()
    assert first.cert.read_bytes() != before


def test_names_that_nobody_can_have_are_not_issued(tmp_path: Path) -> None:
    ca = DevCa.create(tmp_path / "ca")
    for name in ("spiffe://elsewhere.example/agency/harbour", "spiffe://safehand.example/"):
        error = refusal(lambda name=name: ca.issue(tmp_path / "one", name))  # type: ignore[misc]
        assert error.reason is Reason.UNAUTHENTICATED
    assert not (tmp_path / "one").exists()


def test_an_authority_that_is_not_there_cannot_be_loaded(tmp_path: Path) -> None:
    assert refusal(lambda: DevCa.load(tmp_path)).reason is Reason.CONFIG_INVALID


def test_a_watch_sees_a_change_once(tmp_path: Path) -> None:
    ca = DevCa.create(tmp_path / "ca")
    watch = TlsWatch(ca.issue(tmp_path / "one", HARBOUR))
    assert watch.changed() is None
    files = ca.issue(tmp_path / "one", HARBOUR)
    assert watch.changed() == read_material(files) == watch.material
    assert watch.changed() is None


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
def test_a_watch_outlives_a_missing_file(tmp_path: Path, name: str) -> None:
    ca = DevCa.create(tmp_path / "ca")
    watch = TlsWatch(ca.issue(tmp_path / "one", HARBOUR))
    (tmp_path / "one" / name).unlink()
    assert watch.changed() is None
    ca.issue(tmp_path / "one", HARBOUR)
    assert watch.changed() is not None
