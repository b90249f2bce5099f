"""Guards of what her pages ask of referral: steps by ticket, and places that stay secret."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_TICKET: Final = "libs/formats/src/safehand_formats/steps_ticket.py"
_SRC: Final = "services/referral/src/safehand_referral_service/"
_POLICY: Final = _SRC + "policy.py"
_STEPS: Final = _SRC + "steps.py"
_SECRET: Final = _SRC + "directory_confidential.py"
_FEES: Final = _SRC + "directory_fees.py"
_SEARCH: Final = _SRC + "directory_search.py"

_T_TICKET: Final = "tests/referral/test_steps_ticket.py::"
_T_TURN: Final = "tests/referral/test_steps.py::test_whose_turn_it_is"
_T_FEES: Final = "tests/hsds/test_fees.py::"
_T_SECRET: Final = "tests/hsds/test_confidential.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "steps-certificate",
        "a ticket is good only on the connection that it was signed for",
        _TICKET,
        "    if claims.certificate != certificate_sha256:\n",
        "    if False:\n",
        _T_TICKET + "test_a_ticket_of_another_certificate_of_the_portal",
    ),
    guard(
        "steps-minute",
        "a ticket is over to the second",
        _TICKET,
        "    if now >= claims.expires_at:\n",
        "    if False:\n",
        _T_TICKET + "test_a_ticket_is_over_after_a_minute",
    ),
    guard(
        "steps-not-yet",
        "a ticket is not good before its time",
        _TICKET,
        "    if now < claims.issued_at:\n",
        "    if False:\n",
        _T_TICKET + "test_not_valid_yet",
    ),
    guard(
        "steps-issuer",
        "a ticket of another issuer is none here",
        _TICKET,
        "    if claims.issuer != issuer:\n",
        "    if False:\n",
        _T_TICKET + "test_a_ticket_for_another_place",
    ),
    guard(
        "steps-audience",
        "a ticket for another service is none here",
        _TICKET,
        "    if claims.audience != audience:\n",
        "    if False:\n",
        _T_TICKET + "test_a_ticket_for_another_place",
    ),
    guard(
        "steps-lifetime",
        "a ticket lives for a minute at most",
        _TICKET,
        "        if not 0 < self.expires_at - self.issued_at <= MAX_LIFETIME_S:\n",
        "        if not 0 < self.expires_at - self.issued_at:\n",
        "tests/formats/test_vectors.py::test_both_readers_arrive_at_what_the_vector_says",
    ),
    guard(
        "steps-number",
        "a ticket names as many referrals as her page lists, and at least one",
        _TICKET,
        "        if not 1 <= len(self.referrals) <= MAX_REFERRALS:\n",
        "        if False:\n",
        "tests/formats/test_steps_ticket.py::test_what_no_ticket_can_say_is_not_minted",
    ),
    guard(
        "steps-role",
        "a ticket in an agency's hands is worth nothing",
        _POLICY,
        '    _REFERRAL + "ListSteps": _PORTAL,\n',
        '    _REFERRAL + "ListSteps": _PORTAL | _AGENCY,\n',
        _T_TICKET + "test_an_agency_is_refused_whatever_ticket_it_stole",
    ),
    guard(
        "steps-stop-told",
        "that sharing is stopped is told",
        _STEPS,
        "        sharing_stopped=bool(row.sharing_stopped),\n",
        "        sharing_stopped=False,\n",
        _T_TURN,
    ),
    guard(
        "steps-stop-no-turn",
        "a stop changes neither who is next nor by when",
        _STEPS,
        "reseal_asked=asked, now=now)",
        "reseal_asked=asked or bool(row.sharing_stopped), now=now)",
        _T_TURN,
    ),
    guard(
        "steps-late",
        "an agency is late when its date is over, and not before",
        _SRC + "states.py",
        "now > answer_by) if dated",
        "now >= answer_by) if dated",
        "tests/referral/test_steps.py::test_late_only_when_the_date_is_over",
    ),
    guard(
        "secret-place-of-all",
        "a secret place is hidden from whoever is given there",
        _SECRET,
        "        remember_places(conn)\n",
        "",
        _T_SECRET + "test_its_place_is_hidden_from_whoever_is_given_there",
    ),
    guard(
        "secret-place-imports",
        "a place that a later package gives a secret service is secret from the start",
        _SRC + "directory_store.py",
        "    remember_places(conn)\n",
        "",
        _T_SECRET + "test_a_place_that_a_later_package_gives_it_is_secret_from_the_start",
    ),
    guard(
        "secret-place-unstated",
        "a secret service without a stated place makes all of its organisation's secret",
        _SECRET,
        "union(stated, offices)",
        "stated",
        _T_SECRET + "test_without_a_stated_place_all_of_its_organisations_are_hidden",
    ),
    guard(
        "secret-place-number",
        "the operator's number is the only one of a secret service",
        _SRC + "directory_places.py",
        "        if self._secret.get(service):\n",
        "        if False:\n",
        _T_SECRET + "test_the_operators_number_is_the_only_one_that_it_has",
    ),
    guard(
        "secret-place-mistyped",
        "a mistyped service is not silently kept while its address stays public",
        _SECRET,
        "    if service_id not in numbers(conn):\n",
        "    if False:\n",
        _T_SECRET + "test_a_mistyped_service_is_refused_not_silently_kept",
    ),
    guard(
        "secret-place-words",
        "no search tells word by word what somebody wrote about a secret place",
        _SEARCH,
        "    found = or_(and_(~withheld, _starts(names + c.text_words, wanted)), shown)\n",
        "    found = or_(_starts(names + c.text_words, wanted), shown)\n",
        _T_SECRET + "test_free_words_of_a_secret_place_find_nothing",
    ),
    guard(
        "secret-place-other-name",
        "nor by a name of it that nobody is shown",
        _SEARCH,
        "c.id.not_in(_by_other_names(conn, wanted)))\n",
        "true())\n",
        _T_SECRET + "test_free_words_of_a_secret_place_find_nothing",
    ),
    guard(
        "secret-place-neighbours",
        "nor does what is written about another service that is given there",
        _SECRET,
        "    return union(select(secret.c.service_id), given, offices)\n",
        "    return union(select(secret.c.service_id), offices)\n",
        _T_SECRET + "test_free_words_of_a_secret_place_find_nothing",
    ),
    guard(
        "secret-place-situations",
        "nor do its situations",
        _SEARCH,
        "    return and_(~_withheld(), fits), or_(_withheld(), ~exists().where(of_service))\n",
        "    return fits, ~exists().where(of_service)\n",
        _T_SECRET + "test_situations_of_a_secret_place_tell_nothing",
    ),
    guard(
        "secret-place-cost",
        "nor does its place among those that are free",
        _FEES,
        '    return case((withheld, 1), (plain.in_(FREE), 0), (said == "", 1), else_=2)\n',
        '    return case((plain.in_(FREE), 0), (said == "", 1), else_=2)\n',
        _T_FEES + "test_the_order_tells_nothing_of_a_secret_place",
    ),
    guard(
        "cost-not-stated",
        "what is not stated is not free",
        _FEES,
        '    return text.strip(" ").lower().rstrip(_ENDS) in FREE\n',
        '    return text.strip(" ").lower().rstrip(_ENDS) in (*FREE, "")\n',
        _T_FEES + "test_what_is_shown_as_free_is_what_comes_first",
    ),
    guard(
        "cost-of-a-secret-place",
        "her pages are not told what somebody wrote of the cost at a secret place",
        _SRC + "rpc_directory.py",
        '        entry.description = entry.fees = ""\n',
        '        entry.description = ""\n',
        "tests/referral/test_confidential.py::"
        "test_agencies_and_the_operator_are_told_what_her_pages_are_not",
    ),
    guard(
        "secret-place-languages",
        "nor does what its languages are called",
        _SEARCH,
        "and_(or_(and_(fits, ~secret), code), there),\n",
        "and_(or_(fits, code), there),\n",
        _T_SECRET + "test_a_language_of_a_secret_place_is_found_by_its_code_alone",
    ),
    guard(
        "secret-place-description",
        "her pages are not told what somebody wrote about a secret place",
        _SRC + "rpc_directory.py",
        "    if offer.service.withheld and call.current().principal.kind not in IN_FULL:\n",
        "    if False:\n",
        "tests/referral/test_confidential.py::"
        "test_agencies_and_the_operator_are_told_what_her_pages_are_not",
    ),
    guard(
        "secret-place-operator",
        "only the operator says which places are secret, and which are no longer",
        _POLICY,
        '    _DIRECTORY + "SetConfidential": _OPERATOR,\n',
        '    _DIRECTORY + "SetConfidential": _OPERATOR | _AGENCY,\n',
        "tests/referral/test_policy.py::test_every_method_for_every_role",
    ),
)
