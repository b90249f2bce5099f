"""The alert rules as Prometheus itself evaluates them: each fires when it must, and not before.

Prometheus' own ``promtool`` plays series of samples, one each 15 s, against the file that is
deployed. ``test_watching`` shows that the series exist in running processes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.telemetry.test_watching import ALERTS, read_alerts

PROMTOOL: Final = shutil.which("promtool")
WITHIN_S: Final = 60

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)

STOP: Final = "/safehand.consent.v1.ConsentService/StopGrant"
SEEN: Final = {
    'safehand_stop_unacknowledged_oldest_seconds{job="notify"}': "0x400",
    'safehand_follow_behind_seconds{job="referral"}': "1x400",
    'safehand_outbox_oldest_unpublished_seconds{job="consent"}': "0x400",
    'safehand_ledger_size{job="consent"}': "100+1x400",
}
"""What a sandbox at rest shows: without these a rule about missing numbers fires too."""


@dataclass(frozen=True)
class Case:
    """``series``: what is said instead of, or beside, ``SEEN``; a value of "" takes one away.

    ``fires``: the labels of each alert that must be there at ``at``, but for its severity;
    ``before``: when nothing may fire yet.
    """

    alert: str
    series: dict[str, str]
    at: str
    fires: list[dict[str, str]] = field(default_factory=lambda: [{}])
    before: str = "0m"


def of(name: str, job: str) -> str:
    return f'{name}{{job="{job}"}}'


def stops(seconds: str) -> dict[str, str]:
    """Sixty stops a minute: a share of 98 in 100 below ``seconds``, the rest above."""
    name = f'safehand_rpc_seconds_bucket{{job="consent",method="{STOP}",le='
    return {
        f'{name}"0.1"}}': "0+15x400" if seconds == "0.1" else "0+10x400",
        f'{name}"1"}}': "0+15x400" if seconds == "0.1" else "0+10x400",
        f'{name}"2.5"}}': "0+15x400",
        f'{name}"+Inf"}}': "0+15x400",
    }


def commits(seconds: str) -> dict[str, str]:
    """A commit a second, each below ``seconds`` ("0.05" or "0.25")."""
    name = 'safehand_ledger_commit_seconds_bucket{job="consent",le='
    fast = "0+15x400" if seconds == "0.05" else "0x400"
    return {f'{name}"0.05"}}': fast, f'{name}"0.25"}}': "0+15x400", f'{name}"+Inf"}}': "0+15x400"}


OLDEST: Final = of("safehand_stop_unacknowledged_oldest_seconds", "notify")
UNPUBLISHED: Final = of("safehand_outbox_oldest_unpublished_seconds", "consent")
BEHIND: Final = of("safehand_follow_behind_seconds", "referral")
SIZE: Final = of("safehand_ledger_size", "consent")
LAG: Final = of("safehand_ledger_anchor_lag_entries", "consent")
REFUSED: Final = f'safehand_rpc_total{{job="consent",method="{STOP}",role="service",status='
PAGES: Final = 'safehand_pages_total{job="portal",page="list",answer="failed"}'
NOTIFY, CONSENT, REFERRAL = {"job": "notify"}, {"job": "consent"}, {"job": "referral"}

FIRING: Final = [
    # 15 s older with each sample: 900 s at 15 minutes.
    Case("StopNotAcknowledged", {OLDEST: "0+15x400"}, "17m", [NOTIFY], "15m"),
    Case("StopsNotPublished", {UNPUBLISHED: "0+15x400"}, "3m", [CONSENT], "1m30s"),
    Case("ReferralDoesNotKnowOfStops", {BEHIND: "0+15x400"}, "3m", [REFERRAL], "1m"),
    Case("StopsAreSlow", stops("2.5"), "15m", [{}], "5m"),
    Case("StopFails", {f'{REFUSED}"INTERNAL"}}': "0 0 0 0 1x400"}, "1m30s", [{}], "45s"),
    *(
        Case("StopsAreNotWatched", {gone: ""}, "3m", [labels], "1m")
        for gone, labels in ((OLDEST, {}), (BEHIND, {}), (UNPUBLISHED, {"job": "consent"}))
    ),
    # A process that goes away: Prometheus marks its series as stale with the next scrape.
    Case("StopsAreNotWatched", {BEHIND: "1x20 stale"}, "8m", [{}], "5m"),
    Case("ConsentIsNotWatched", {SIZE: ""}, "3m", [{}], "1m"),
    Case("ClockSuspect", {of("safehand_clock_suspect", "consent"): "0 0 1x400"}, "1m", [CONSENT]),
    Case("AnchorBehind", {SIZE: "100+1x400", LAG: "0+1x400"}, "4m", [CONSENT], "1m"),
    Case(
        "ReleaseKeyTooOld",
        {of("safehand_kek_age_seconds", "consent"): "79170+15x400"},
        "1m",
        [CONSENT],
        "15s",
    ),
    Case(
        "LedgerQueue",
        {'safehand_ledger_waiting{job="consent",lane="other"}': "600x400"},
        "2m",
        [{"lane": "other"}],
        "30s",
    ),
    Case("CommitsAreSlow", commits("0.25"), "15m", [{}], "5m"),
    Case(
        "InboxBehind",
        {
            of("safehand_outbox_head", "consent"): "2000x400",
            'safehand_inbox_position{job="notify",source="consent"}': "2000x400",
            'safehand_inbox_position{job="referral",source="consent"}': "900x400",
        },
        "6m",
        [{}],
        "4m",
    ),
    Case(
        "DeadLetters",
        {'safehand_dead_letters{job="notify",source="consent"}': "0 0 1x400"},
        "1m",
        [{"source": "consent"}],
        "15s",
    ),
    Case("GrantsHeld", {of("safehand_grants_held", "referral"): "0 0 1x400"}, "1m", [REFERRAL]),
    Case(
        "AgenciesDoNotRead",
        {of("safehand_deliveries_unacknowledged", "notify"): "10001x400"},
        "61m",
        [NOTIFY],
        "59m",
    ),
    Case(
        "CertificateEnds",
        {of("safehand_certificate_expires_seconds", "consent"): "604815-15x400"},
        "1m",
        [CONSENT],
        "15s",
    ),
    Case(
        "InternalErrors",
        {'safehand_rpc_refused_total{job="consent",reason="INTERNAL"}': "0+1x400"},
        "6m",
        [{}],
        "4m",
    ),
    Case("PagesFail", {PAGES: "0+1x400"}, "3m", [{}], "1m"),
    Case(
        "TurnedAway",
        {of("safehand_rpc_turned_away_total", "referral"): "0+30x400"},
        "9m",
        [REFERRAL],
        "4m",
    ),
    Case(
        "TelemetryIsBlind",
        {of("safehand_metrics_unread_total", "consent"): "0 0 1x400"},
        "1m",
        [CONSENT],
        "15s",
    ),
    Case(
        "TelemetryIsBlind",
        {of("safehand_log_fields_dropped_total", "consent"): "0 0 1x400"},
        "1m",
        [CONSENT],
        "15s",
    ),
]

QUIET: Final = [
    {},
    {OLDEST: "890x400", UNPUBLISHED: "50x400", BEHIND: "29x400"},
    stops("0.1") | commits("0.05"),
    # What she or a caller did wrong is no failure of ours.
    {f'{REFUSED}"FAILED_PRECONDITION"}}': "0+1x400", f'{REFUSED}"OK"}}': "0+9x400"},
    # The anchor is written each second or so: it lags, and moves on.
    {SIZE: "100+5x400", LAG: "3x400"},
    # Nothing is written at all.
    {SIZE: "100x400", LAG: "0x400"},
    {of("safehand_kek_age_seconds", "consent"): "79000x400"},
    {'safehand_ledger_waiting{job="consent",lane="other"}': "400x400"},
    {of("safehand_metrics_unread_total", "consent"): "7x400"},
]


def played(tmp_path: Path, tests: list[dict[str, object]]) -> None:
    """Let promtool play ``tests``; fails with what it says."""
    assert PROMTOOL is not None
    rules = tmp_path / "alerts.yml"
    rules.write_bytes(ALERTS.read_bytes())
    file = tmp_path / "test.json"
    file.write_text(
        json.dumps({"rule_files": [rules.name], "evaluation_interval": "15s", "tests": tests})
    )
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def play(series: dict[str, str], expected: list[dict[str, object]]) -> dict[str, object]:
    shown = {name: values for name, values in (SEEN | series).items() if values}
    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": shown[name]} for name in shown],
        "alert_rule_test": expected,
    }


def test_prometheus_takes_the_file() -> None:
    assert PROMTOOL is not None
    subprocess.run(
        [PROMTOOL, "check", "rules", str(ALERTS)], check=True, timeout=WITHIN_S, capture_output=True
    )


def test_each_rule_fires_when_it_must_and_not_before(tmp_path: Path) -> None:
    rules = {rule["alert"]: rule for rule in read_alerts(ALERTS.read_text("utf-8"))}
    tests = []
    for case in FIRING:
        rule = rules[case.alert]
        fires = [
            {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": rule["annotations"]}
            for labels in case.fires
        ]
        tests.append(
            play(
                case.series,
                [
                    {"eval_time": case.before, "alertname": case.alert, "exp_alerts": []},
                    {"eval_time": case.at, "alertname": case.alert, "exp_alerts": fires},
                ],
            )
        )
    played(tmp_path, tests)


def test_every_rule_was_made_to_fire() -> None:
    assert {case.alert for case in FIRING} == {
        rule["alert"] for rule in read_alerts(ALERTS.read_text("utf-8"))
    }


def test_none_fires_where_nothing_is_wrong(tmp_path: Path) -> None:
    names = [rule["alert"] for rule in read_alerts(ALERTS.read_text("utf-8"))]
    silent = [{"eval_time": "70m", "alertname": name, "exp_alerts": []} for name in names]
    played(tmp_path, [play(series, silent) for series in QUIET])


def test_a_rule_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    wrong: dict[str, object] = {
        "eval_time": "1m",
        "alertname": "ClockSuspect",
        "exp_alerts": [{"exp_labels": {}}],
    }
    with pytest.raises(AssertionError, match="ClockSuspect"):
        played(tmp_path, [play({}, [wrong])])
