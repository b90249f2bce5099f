"""An export proves itself, and no byte of it can change."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.opening import Opening
from safehand_ledger import bundle
from safehand_ledger.check import Step, audit, export, verify

from tests.ledger.world import World

STORY = [
    Step("she grants", "a consent for housing", "GRANT", 0),
    Step("she stops", "stop", "STOP", 6),
    Step("they look again", "open the card", "CONSENT_ENDED"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path]]:
    world = World(tmp_path_factory.mktemp("ledger")).start()
    world.whole_story()
    out = tmp_path_factory.mktemp("export") / "out"
    assert export(world.engine, out, vkey=world.vkey, story=STORY) == 13
    yield world, out
    world.close()


@pytest.fixture
def out(exported: tuple[World, Path], tmp_path: Path) -> Path:
    """A copy of the export to damage."""
    shutil.copytree(exported[1], tmp_path / "copy")
    return tmp_path / "copy"


def resum(out: Path) -> None:
    """What a careful forger does last."""
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "SHA256SUMS").write_bytes(bundle.encode_sums(files))


def test_an_export_audits_whole(exported: tuple[World, Path]) -> None:
    world, out = exported
    report = audit(out, vkey=world.vkey, grant_secrets=world.secrets())
    assert report.ok, report.problems
    assert (report.size, report.opened, report.steps) == (13, 13, 3)
    assert audit(out).ok


def test_it_holds_exactly_the_documented_files(exported: tuple[World, Path]) -> None:
    names = {path.name for path in exported[1].iterdir()}
    entries = {name for index in range(13) for name in bundle.entry_names(index)}
    assert names == entries | {"checkpoint", "vkey", "story.json", "SHA256SUMS"}
    assert bundle.entry_names(7) == ("007.leaf", "007.tlog-proof", "007.opening.json")
    assert bundle.entry_names(1234)[0] == "1234.leaf"
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in exported[1].iterdir())


def test_each_file_stands_alone(exported: tuple[World, Path]) -> None:
    world, out = exported
    shown = verify(
        (out / "003.tlog-proof").read_bytes(), (out / "003.leaf").read_bytes(), world.vkey
    )
    assert (shown.index, shown.size, shown.kind) == (3, 13, Kind.REFER)
    assert Opening.from_bytes((out / "003.opening.json").read_bytes()).kind is Kind.REFER
    steps = json.loads((out / "story.json").read_bytes())
    assert steps[1] == {"index": 6, "name": "she stops", "result": "STOP", "tried": "stop"}


def test_sha256sum_agrees(exported: tuple[World, Path]) -> None:
    import subprocess

    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=exported[1], check=True
    )


def test_any_changed_byte_of_any_file_fails(out: Path) -> None:
    rng = random.Random(1)
    for path in sorted(out.iterdir()):
        data = path.read_bytes()
        places = {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(12))}
        for at in places:
            changed = bytearray(data)
            changed[at] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(changed))
            assert not audit(out).ok, (path.name, at)
        path.write_bytes(data)
    assert audit(out).ok


def test_any_changed_byte_fails_even_with_new_sums(out: Path) -> None:
    # The story's words are the teller's own: only its indexes and kinds are proven.
    rng = random.Random(2)
    for path in sorted(out.iterdir()):
        if path.name in ("SHA256SUMS", "story.json"):
            continue
        data = path.read_bytes()
        for at in {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(12))}:
            changed = bytearray(data)
            changed[at] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(changed))
            resum(out)
            assert not audit(out).ok, (path.name, at)
        path.write_bytes(data)
    resum(out)
    assert audit(out).ok


def test_any_truncated_or_longer_file_fails(out: Path) -> None:
    for path in sorted(out.iterdir()):
        data = path.read_bytes()
        for changed in (b"", data[:-1], data + b"\n", data + b"x", data + data):
            path.write_bytes(changed)
            assert not audit(out).ok, path.name
        path.write_bytes(data)


def test_any_missing_file_fails(out: Path) -> None:
    for path in sorted(out.iterdir()):
        data = path.read_bytes()
        path.unlink()
        assert not audit(out).ok, path.name
        if path.name not in ("SHA256SUMS",) and not path.name.endswith(".opening.json"):
            resum(out)
            assert not audit(out).ok, path.name
        path.write_bytes(data)
        resum(out)
    assert audit(out).ok


def test_any_added_file_fails(out: Path) -> None:
    for name in ("note.txt", "013.leaf", "0001.leaf", "013.opening.json", ".hidden", "a b"):
        (out / name).write_bytes((out / "000.leaf").read_bytes())
        assert not audit(out).ok, name
        (out / name).unlink()
    (out / "013.leaf").write_bytes((out / "000.leaf").read_bytes())
    resum(out)
    assert not audit(out).ok
    (out / "013.leaf").unlink()
    resum(out)
    (out / "folder").mkdir()
    assert not audit(out).ok


def test_a_link_is_not_a_file(out: Path, tmp_path: Path) -> None:
    shutil.move(out / "000.leaf", tmp_path / "elsewhere")
    (out / "000.leaf").symlink_to(tmp_path / "elsewhere")
    assert not audit(out).ok


def test_files_that_changed_places_fail(out: Path) -> None:
    for kind in range(3):
        first, second = (out / bundle.entry_names(index)[kind] for index in (1, 2))
        kept = first.read_bytes(), second.read_bytes()
        first.write_bytes(kept[1])
        second.write_bytes(kept[0])
        resum(out)
        assert not audit(out).ok
        first.write_bytes(kept[0])
        second.write_bytes(kept[1])


@pytest.mark.parametrize(
    "step",
    [
        Step("a", "b", "STOP", 0),
        Step("a", "b", "GRANT", 13),
        Step("a", "b", "grant", 0),
        Step("a", "b", "", 0),
    ],
)
def test_a_story_that_its_entries_contradict_fails(out: Path, step: Step) -> None:
    (out / "story.json").write_bytes(bundle.encode_story([step]))
    resum(out)
    assert [problem.code for problem in audit(out).problems] == ["STORY"]


@pytest.mark.parametrize(
    "story",
    [
        b"",
        b"[]",
        b"{}\n",
        b"[1]\n",
        b"[ ]\n",
        b'[{"index":-2,"name":"","result":"","tried":""}]\n',
        b'[{"index":true,"name":"","result":"","tried":""}]\n',
        b'[{"index":-1,"name":1,"result":"","tried":""}]\n',
        b'[{"index":-1,"name":"","result":""}]\n',
    ],
)
def test_a_story_that_is_none_fails(out: Path, story: bytes) -> None:
    (out / "story.json").write_bytes(story)
    resum(out)
    assert not audit(out).ok


def test_another_pinned_key_fails(exported: tuple[World, Path], tmp_path: Path) -> None:
    other = World(tmp_path).start()
    other.close()
    from safehand_formats.note import NoteSigner

    vkey = NoteSigner("another.example/ledger", other.key).verifier.vkey
    assert not audit(exported[1], vkey=vkey).ok


def test_a_forgotten_body_is_left_out_and_counted(tmp_path: Path, world: World) -> None:
    world.append_keys(3)
    from safehand_store.engine import begin_write
    from sqlalchemy import text

    with begin_write(world.engine) as connection:
        connection.execute(text('DELETE FROM ledger_opening WHERE "index" = 1'))
    export(world.engine, tmp_path / "out", vkey=world.vkey)
    assert not (tmp_path / "out" / "001.opening.json").exists()
    report = audit(tmp_path / "out")
    assert report.ok, report.problems
    assert (report.opened, report.forgotten) == (2, 1)


def test_an_empty_ledger_exports_and_audits(tmp_path: Path, world: World) -> None:
    assert export(world.engine, tmp_path / "out", vkey=world.vkey) == 0
    assert audit(tmp_path / "out").ok


def test_it_never_writes_over_anything(tmp_path: Path, world: World) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(SafehandError) as refused:
        export(world.engine, tmp_path / "full", vkey=world.vkey)
    assert refused.value.reason is Reason.CONFIG_INVALID
    assert os.listdir(tmp_path / "full") == ["mine"]  # noqa: PTH208


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SafehandError) as refused:
        audit(tmp_path / "nothing")
    assert refused.value.reason is Reason.CONFIG_INVALID
