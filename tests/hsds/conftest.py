"""A directory in a real SQLite file, empty or with a package in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_referral_service import directory_store, directory_tables
from safehand_store.engine import begin_write, open_engine
from sqlalchemy import Engine, MetaData

from tests.hsds import packages


def new_directory(path: Path) -> Engine:
    metadata = MetaData()
    directory_tables.define(metadata)
    engine = open_engine(path)
    with begin_write(engine) as conn:
        metadata.create_all(conn)
    return engine


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Engine]:
    engine = new_directory(tmp_path / "directory.db")
    yield engine
    engine.dispose()


@pytest.fixture
def sample(directory: Engine) -> Engine:
    with begin_write(directory) as conn:
        directory_store.import_package(conn, packages.folder("sample"), "sample")
    return directory


@pytest.fixture(scope="module")
def florida(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = new_directory(tmp_path_factory.mktemp("florida") / "directory.db")
    with begin_write(engine) as conn:
        directory_store.import_package(conn, packages.folder("florida"), "florida")
    yield engine
    engine.dispose()
