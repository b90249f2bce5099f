"""The images as others would run them, with their own entry points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from docker.types import Mount
from testcontainers.core.container import DockerContainer

from tests.harness import engine
from tests.harness.world import eventually

SOCKETS = "/run/postgresql"
UNPRIVILEGED = 65532


@contextmanager
def _container(image: str, **options: Any) -> Iterator[DockerContainer]:
    container = DockerContainer(engine.image(image))
    volumes = options.pop("volumes", {})
    for path, target in volumes.items():
        container.with_volume_mapping(str(path), target, "rw")
    container.with_envs(**options.pop("environment", {}))
    if command := options.pop("command", None):
        container.with_command(command)
    container.with_kwargs(
        labels=engine.labels(),
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        **options,
    )
    with container:
        yield container


def _ended(container: DockerContainer) -> tuple[int, str]:
    code = container.wait()
    return code, b"".join(container.get_logs()).decode()


@pytest.fixture
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("s")
    made.chmod(0o777)
    return made


def _query(sockets: Path, sql: str, **parameters: Any) -> Any:
    given = {"user": "keeper", "password": "not-a-secret", "dbname": "ledger", **parameters}
    with psycopg.connect(host=str(sockets), autocommit=True, **given) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone() if cursor.description else None


def _answers(sockets: Path) -> bool:
    try:
        _query(sockets, "SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_postgres_makes_what_it_is_told_and_keeps_it(sockets: Path) -> None:
    environment = {
        "POSTGRES_USER": "keeper",
        "POSTGRES_PASSWORD": "not-a-secret",
        "POSTGRES_DB": "ledger",
    }
    with _container("postgres", environment=environment, volumes={sockets: SOCKETS}) as container:
        eventually(lambda: _answers(sockets), "PostgreSQL answers", within_s=60)
        assert _query(sockets, "SELECT rolsuper FROM pg_roles WHERE rolname = 'keeper'") == (True,)
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert _query(sockets, f"SHOW {setting}") == ("on",)
        assert _query(sockets, "SELECT 'B' < 'a' AND 'z' < U&'\\00e9'") == (True,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            _query(sockets, "SELECT 1", password="wrong")

        wrapped = container.get_wrapped_container()
        wrapped.reload()
        status = Path(f"/proc/{wrapped.attrs['State']['Pid']}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("Uid:"))
        assert set(numbers.split()[1:]) == {str(UNPRIVILEGED)}

        _query(sockets, "CREATE TABLE kept AS SELECT 42 AS value")
        wrapped.kill()
        wrapped.start()
        eventually(lambda: _answers(sockets), "PostgreSQL answers again", within_s=60)
        assert _query(sockets, "SELECT value FROM kept") == (42,)
        wrapped.stop(timeout=30)
        assert "database system is shut down" in b"".join(container.get_logs()).decode()


def test_postgres_reads_its_password_from_a_file(sockets: Path) -> None:
    (sockets / "password").write_text("not-a-secret\n")
    (sockets / "password").chmod(0o644)
    environment = {
        "POSTGRES_USER": "keeper",
        "POSTGRES_PASSWORD_FILE": f"{SOCKETS}/password",
        "POSTGRES_DB": "ledger",
    }
    with _container("postgres", environment=environment, volumes={sockets: SOCKETS}):
        eventually(lambda: _answers(sockets), "PostgreSQL answers", within_s=60)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "POSTGRES_PASSWORD"),
        ({"POSTGRES_PASSWORD": "x", "POSTGRES_DB": 'a"; DROP'}, "letters, digits"),
    ],
)
def test_postgres_refuses_what_it_cannot_do_safely(environment: dict[str, str], said: str) -> None:
    with _container("postgres", environment=environment) as container:
        code, printed = _ended(container)
    assert code == 78
    assert said in printed


def test_nats_says_its_version() -> None:
    tag = engine.image("nats")
    with _container("nats", command=["--version"]) as container:
        code, printed = _ended(container)
    assert code == 0
    assert tag.rpartition(":")[2] in printed


@pytest.mark.slow
@pytest.mark.timeout(300)  # the image may have to be built first
def test_the_guided_story_holds_inside_the_services_image() -> None:
    story = ["/usr/local/bin/safehand", "--dir", "/var/lib/safehand/run", "up", "--story", "--once"]
    home = Mount("/var/lib/safehand", None)  # a volume of its own: databases refuse a tmpfs
    tmp = Mount("/tmp", None, type="tmpfs")
    with _container("safehand", command=story, mounts=[home, tmp]) as container:
        code, printed = _ended(container)
    assert code == 0, printed[-2000:]
    assert printed.splitlines()[-1].startswith("every step held")
