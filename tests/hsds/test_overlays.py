"""What operators lay over the directory: what a service may receive."""

from __future__ import annotations

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service import directory_store as store
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Engine

from tests.hsds import packages

CLINIC = "test-svc-clinic"


def test_a_service_may_receive_the_card_alone_until_more_is_said(sample: Engine) -> None:
    with begin_read(sample) as conn:
        assert store.get_service_needs(conn, CLINIC) == ("CARD",)
    with begin_write(sample) as conn:
        assert store.set_service_needs(conn, CLINIC, ["HEALTH", "NAME"]) == (
            "CARD",
            "NAME",
            "HEALTH",
        )
        store.import_package(conn, packages.files("sample"), "sample")
    with begin_read(sample) as conn:
        assert store.get_service(conn, CLINIC).categories == ("CARD", "NAME", "HEALTH")
    with begin_write(sample) as conn:
        assert store.set_service_needs(conn, CLINIC, []) == ("CARD",)


def test_needs_of_an_unknown_service_or_category_are_refused(sample: Engine) -> None:
    with begin_write(sample) as conn:
        with pytest.raises(SafehandError) as caught:
            store.set_service_needs(conn, "test-svc-none", ["NAME"])
        assert caught.value.reason is Reason.NOT_FOUND
        with pytest.raises(SafehandError) as caught:
            store.set_service_needs(conn, CLINIC, ["EVERYTHING"])
        assert caught.value.reason is Reason.MALFORMED
        assert store.get_service_needs(conn, CLINIC) == ("CARD",)
