"""A directory in a real database, empty or with a package in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safehand_referral_service import directory_store, directory_tables
from safehand_store.engine import begin_write, open_engine
from sqlalchemy import Engine, MetaData

from tests.harness import database
from tests.hsds import packages


@contextmanager
def new_directory(file: Path) -> Iterator[Engine]:
    """A fresh database with a directory's tables: ``file``, or one of the server's."""
    metadata = MetaData()
    directory_tables.define(metadata)
    store = database.new(file)
    store.create(metadata)
    engine = open_engine(store.location)
    yield engine
    engine.dispose()
    store.drop()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Engine]:
    with new_directory(tmp_path / "directory.db") as engine:
        yield engine


@pytest.fixture
def sample(directory: Engine) -> Engine:
    with begin_write(directory) as conn:
        directory_store.import_package(conn, packages.folder("sample"), "sample")
    return directory


@pytest.fixture(scope="module")
def florida(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with new_directory(tmp_path_factory.mktemp("florida") / "directory.db") as engine:
        with begin_write(engine) as conn:
            directory_store.import_package(conn, packages.folder("florida"), "florida")
        yield engine
