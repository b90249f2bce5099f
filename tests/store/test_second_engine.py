"""A second engine on a file that this process has open, and a process that comes and goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from safehand_store.engine import begin_write, open_engine
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

COUNT = """
import sys
from pathlib import Path
from safehand_store.engine import begin_write, open_engine
engine = open_engine(Path(sys.argv[1]))
with begin_write(engine) as db:
    db.exec_driver_sql("INSERT INTO row VALUES (?)", (int(sys.argv[2]),))
    print(db.exec_driver_sql("SELECT count(*) FROM row").scalar())
engine.dispose()
"""


def test_nothing_is_lost_between_engines_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    metadata = MetaData()
    row = Table("row", metadata, Column("number", Integer, primary_key=True))

    def other(number: int) -> int:
        arguments = [sys.executable, "-c", COUNT, str(path), str(number)]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60)
        return int(done.stdout)

    engine = open_engine(path)
    with begin_write(engine) as db:
        metadata.create_all(db)
        db.execute(insert(row), {"number": 1})
    open_engine(path).dispose()
    assert other(2) == 2
    with begin_write(engine) as db:
        db.execute(insert(row), {"number": 3})
    assert other(4) == 4
    with begin_write(engine) as db:
        assert db.execute(select(func.count()).select_from(row)).scalar_one() == 4
    engine.dispose()
