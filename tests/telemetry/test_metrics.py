"""Each important number moves when it should, in real processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from safehand_consent_service.policy import POLICY as CONSENT
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason
from safehand_notify_service.policy import POLICY as NOTIFY
from safehand_referral_service.policy import POLICY as REFERRAL
from safehand_rpc.policy import EXEMPT
from safehand_telemetry import metrics, names

from tests.cli.test_commands import run
from tests.harness.world import World, running
from tests.telemetry.scrape import PROCESSES, SERVICES, every_text, read, series, soon

pytestmark = pytest.mark.slow

OLDEST = "safehand_stop_unacknowledged_oldest_seconds"
WAITING = "safehand_stops_unacknowledged"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A system of its own: every stop in it is one of these tests'."""
    with running(tmp_path_factory.mktemp("watched") / "sandbox", portal=True) as world:
        yield world


def acknowledge_all(world: World) -> None:
    for agency in (world.agency_a, world.agency_b):
        last = 0
        while page := agency.deliveries(last):
            last = page[-1].cursor
        if last:
            assert agency.acknowledge_deliveries(last) == last


def stop_somebody(world: World) -> str:
    person = world.person()
    grant = world.grant(person)
    # A recipient hears of the end of what it has a referral under; each agency of both ends: of
    # the consent, and of the sharing that rests on it.
    world.send(grant)
    with world.session(person) as her:
        her.stop(grant)
    return grant


def test_an_unacknowledged_stop_ages_until_the_agency_says_that_it_acted(watched: World) -> None:
    acknowledge_all(watched)
    soon(lambda: read(watched, "notify", WAITING) == 0, "every stop is acknowledged")
    assert read(watched, "notify", OLDEST) == 0
    stop_somebody(watched)
    soon(lambda: read(watched, "notify", WAITING) == 4, "both agencies were told of both ends")
    soon(lambda: read(watched, "notify", OLDEST) >= 1, "the stop ages")
    # Reading is not acting: the agency that asked has still not said that it dealt with it.
    assert watched.agency_b.deliveries()
    before = read(watched, "notify", OLDEST)
    soon(lambda: read(watched, "notify", OLDEST) > before, "it goes on to age")

    done = run(watched, "notify", "stops", "waiting")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["agencies"]
    assert [(one["agency"], one["stops"]) for one in found] == [("agency-a", 2), ("agency-b", 2)]

    watched.agency_a.acknowledge_deliveries(watched.agency_a.deliveries()[-1].cursor)
    soon(lambda: read(watched, "notify", WAITING) == 2, "one agency is left")
    assert read(watched, "notify", OLDEST) >= 1
    acknowledge_all(watched)
    soon(lambda: read(watched, "notify", OLDEST) == 0, "nobody is left to be phoned")
    done = run(watched, "notify", "stops", "waiting")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"agencies": []})


def test_the_listener_acknowledges_where_it_is_told_to(watched: World) -> None:
    acknowledge_all(watched)
    stop_somebody(watched)
    soon(lambda: read(watched, "notify", WAITING) >= 4, "both agencies were told of both ends")
    count = str(len(watched.agency_a.deliveries()))
    before = read(watched, "notify", WAITING)
    assert run(watched, "agency-a", "listen", "--count", count).exit_code == 0
    soon(lambda: read(watched, "notify", WAITING) == before, "printing is not acting")
    assert run(watched, "agency-a", "listen", "--count", count, "--acknowledge").exit_code == 0
    soon(lambda: read(watched, "notify", WAITING) < before, "it said so")


def test_only_what_was_delivered_can_be_acknowledged(watched: World) -> None:
    stop_somebody(watched)
    soon(lambda: bool(watched.agency_b.deliveries()), "agency B was told")
    last = watched.agency_b.deliveries()[-1].cursor
    with pytest.raises(SafehandError) as caught:
        watched.agency_b.acknowledge_deliveries(last + 1000)
    assert caught.value.reason is Reason.MALFORMED
    marked = watched.agency_b.acknowledge_deliveries(last)
    assert watched.agency_b.acknowledge_deliveries(1) == marked, "the mark never moves back"


def test_the_outbox_shows_what_the_relay_has_not_published(watched: World) -> None:
    supervisor = watched.system.supervisor
    soon(lambda: read(watched, "consent", "safehand_outbox_unpublished") == 0, "all is published")
    head = read(watched, "consent", "safehand_outbox_head")
    supervisor.hold("consent-worker")
    try:
        stop_somebody(watched)
        soon(
            lambda: read(watched, "consent", "safehand_outbox_unpublished") >= 3,
            "the api process says that its worker is behind",
        )
        oldest = "safehand_outbox_oldest_unpublished_seconds"
        soon(lambda: read(watched, "consent", oldest) >= 1, "what waits gets older")
        assert read(watched, "consent", "safehand_outbox_head") > head
    finally:
        supervisor.release("consent-worker")
    soon(lambda: read(watched, "consent", "safehand_outbox_unpublished") == 0, "it caught up")
    published = read(watched, "consent-worker", "safehand_relay", what="published")
    assert published >= 3
    position = read(watched, "consent", "safehand_outbox_head")
    for process in ("referral", "notify"):
        soon(
            lambda process=process: (  # type: ignore[misc]
                read(watched, process, "safehand_inbox_position", source="consent") >= position
            ),
            f"{process} has applied all of it",
        )


def test_referral_says_for_how_long_it_may_not_know_of_a_stop(watched: World) -> None:
    behind = "safehand_follow_behind_seconds"
    watched.system.supervisor.hold("consent")
    try:
        soon(lambda: read(watched, "referral", behind) > 3, "consent is silent")
    finally:
        watched.system.supervisor.release("consent")
    soon(lambda: read(watched, "referral", behind) < 3, "it has caught up")


def test_the_ledger_shows_its_work(watched: World) -> None:
    size = read(watched, "consent", "safehand_ledger_size")
    commits = read(watched, "consent", "safehand_ledger_commit_seconds_count")
    stop_somebody(watched)
    soon(lambda: read(watched, "consent", "safehand_ledger_size") >= size + 2, "a grant and a stop")
    assert read(watched, "consent", "safehand_ledger_commit_seconds_count") > commits
    assert read(watched, "consent", "safehand_ledger_batch_operations_sum") > commits
    assert read(watched, "consent", "safehand_clock_suspect") == 0
    assert read(watched, "consent", "safehand_ledger_starting_seconds") == 0
    assert read(watched, "consent", "safehand_gates_raised") == 0
    for lane in ("stop", "other"):
        assert read(watched, "consent", "safehand_ledger_waiting", lane=lane) == 0
    lag = "safehand_ledger_anchor_lag_entries"
    soon(lambda: read(watched, "consent", lag) == 0, "the anchor follows")


def test_a_roll_makes_the_release_key_young(watched: World) -> None:
    age = "safehand_kek_age_seconds"
    soon(lambda: read(watched, "consent", age) >= 2, "it ages")
    old = read(watched, "consent", age)
    watched.consent_operator.roll_keys()
    soon(lambda: read(watched, "consent", age) < old, "a fresh one is in force")


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_has_a_page_with_its_certificate(watched: World, process: str) -> None:
    month = 30 * 24 * 3600
    assert read(watched, process, "safehand_certificate_expires_seconds") > 0
    assert read(watched, process, "safehand_certificate_expires_seconds") < 20 * 12 * month
    assert read(watched, process, "safehand_metrics_unread_total") == 0
    assert read(watched, process, "safehand_log_fields_dropped_total") == 0
    assert read(watched, process, "process_resident_memory_bytes") > 0


def test_every_label_value_is_from_a_closed_list(watched: World) -> None:
    methods = {*CONSENT, *REFERRAL, *NOTIFY, *EXEMPT, "/unknown/Unknown"}
    allowed: dict[str, Callable[[str], object]] = {
        "method": methods.__contains__,
        "status": {"OK", "CANCELLED", *(info.status for info in TABLE.values())}.__contains__,
        "reason": {reason.value for reason in Reason}.__contains__,
        "role": names.ROLES.__contains__,
        "lane": names.LANES.__contains__,
        "source": {"consent", "referral"}.__contains__,
        "what": re.compile(r"[a-z_]{1,30}").fullmatch,
        "outcome": {"sent", "failed", "dropped", "refused"}.__contains__,
        "page": names.PAGES.__contains__,
        "answer": metrics.ANSWERS.__contains__,
        "le": re.compile(r"[0-9.]+|\+Inf").fullmatch,
    }
    seen = set()
    for process in PROCESSES:
        for name, labels, _ in series(watched, process):
            for label, value in labels.items():
                assert allowed[label](value), (name, label, value)
                seen.add(label)
    assert {"method", "status", "role", "lane", "source", "what", "le"} <= seen


def test_no_page_names_anybody(watched: World) -> None:
    text = every_text(watched)
    for word in ("agency-a", "agency-b", "test-ref", str(watched.sandbox.root), "spiffe"):
        assert word not in text
    assert set(SERVICES) >= {"consent"}
