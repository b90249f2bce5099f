"""Guards of the portal's doors: its cookie, its forms, its headers, and leaving."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Edit, Guard, guard

_SRC: Final = "services/portal/src/safehand_portal_service/"
_DOORS: Final = _SRC + "doors.py"
_FORMS: Final = _SRC + "forms.py"
_GUARD: Final = _SRC + "guard.py"
_T: Final = "tests/portal/test_core_doors.py::"
_SEAT: Final = "tests/portal/test_core_seat.py::"
_LANES: Final = _SRC + "lanes.py"
_SERVER: Final = _SRC + "server.py"
_T_LANES: Final = "tests/portal/test_core_lanes.py::"
_T_LINES: Final = "tests/portal/test_core_connections.py::"
_T_STOPS: Final = "tests/portal/test_pages_stops.py::"
_T_REFERENCE: Final = "tests/portal/test_reference.py::"
_PROCESS: Final = "tests/portal/test_core_process.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "portal-leaving-threads",
        "leaving does not queue behind those who wait for a service",
        _SRC + "pages/leaving.py",
        'Route("/x", get=left, open=True, lane=Lane.LEAVING),',
        'Route("/x", get=left, open=True),',
        "tests/portal/test_core_leaving.py::"
        "test_she_leaves_while_everybody_else_waits_for_a_silent_service",
    ),
    guard(
        "portal-stop-lane",
        "a stop does not queue behind those who wait for a page",
        _LANES,
        "    Lane.STOPS: 16,\n",
        "",
        _T_LANES + "test_a_stop_waits_for_nobody_who_waits_for_a_page",
    ),
    guard(
        "portal-open-lanes",
        "who is not signed in does not fill the threads of everybody else",
        _SRC + "pages/signin.py",
        "post=opened, open=True, lane=Lane.SIGN_IN,",
        "post=opened, open=True,",
        _T_LANES + "test_what_anybody_may_send_waits_in_a_narrow_lane_and_says_when_it_is_full",
    ),
    guard(
        "portal-lane-full",
        "who would wait too long is told at once",
        _LANES,
        "        if self._inside[lane] >= THREADS[lane] + WAITING_MAX:\n",
        "        if False:\n",
        _T_LANES + "test_what_anybody_may_send_waits_in_a_narrow_lane_and_says_when_it_is_full",
    ),
    guard(
        "portal-words-lane",
        "a page that asks no service waits for none",
        _LANES,
        "    Lane.WORDS: 4,\n",
        "",
        _T_LANES + "test_pages_without_a_service_wait_for_none",
    ),
    guard(
        "portal-find-short",
        "a search does not wait as long as a stop",
        _SRC + "pages/find.py",
        "request, timeout_s=backend.BESIDE_TIMEOUT_S\n",
        "request\n",
        _T_LANES + "test_a_search_is_not_waited_for_as_a_stop_is",
    ),
    guard(
        "portal-head-in-time",
        "a connection that sends nothing is not kept",
        _SERVER,
        "            return\n        self._within(HEAD_S)\n",
        "            return\n",
        _T_LINES + "test_a_head_that_does_not_come_closes_the_connection",
    ),
    guard(
        "portal-second-head-in-time",
        "a connection that was used once does not keep half a head",
        _SERVER,
        "            # The first byte behind a whole request, whatever it is.\n"
        "            self._within(HEAD_S)\n",
        "            pass\n",
        _T_LINES + "test_so_does_the_head_of_a_second_request",
    ),
    guard(
        "portal-body-in-time",
        "a connection does not keep half a form",
        _SERVER,
        "        self._within(BODY_S)\n",
        "        self._come()\n",
        _T_LINES + "test_a_form_that_does_not_come_closes_the_connection",
    ),
    guard(
        "portal-connections",
        "there are never more connections than the portal can hold",
        _SERVER,
        "        if len(self.connections) > CONNECTIONS_MAX:\n",
        "        if False:\n",
        _T_LINES + "test_no_more_connections_than_the_portal_can_hold",
    ),
    guard(
        "portal-stop-unseen",
        "of a stop whose page cannot be shown it is not said that nothing was done",
        _SRC + "pages/errors.py",
        "    return not changes and _STOPPED.fullmatch(page.path) is not None\n",
        "    return False\n",
        _T_STOPS + "test_a_stop_whose_page_cannot_be_shown_is_not_said_to_be_nothing",
    ),
    guard(
        "portal-fault-behind-stop",
        "a fault of ours on the page of a stop is not told as if nothing was done",
        _SRC + "pages/errors.py",
        '        return _said(page, 500, "errors.unseen", call=True)\n',
        "        pass\n",
        _T_STOPS + "test_a_fault_on_the_page_of_a_stop_shows_it_neither_as_done_nor_as_undone",
    ),
    guard(
        "portal-fault-around-stop",
        "a fault of ours around a stop says that nobody knows, and whom to call",
        _SRC + "pages/errors.py",
        '        page, 500, "errors.failed", second="errors.down_sent" if changes else "", '
        "call=changes\n",
        '        page, 500, "errors.failed"\n',
        _T_STOPS + "test_a_fault_around_a_stop_shows_it_neither_as_done_nor_as_undone",
    ),
    guard(
        "portal-reference-everybody",
        "a page for everybody has no number to read out: it is the same bytes for all",
        _SRC + "page.py",
        "        if not self.open and not self._reference:\n",
        "        if not self._reference:\n",
        _T_REFERENCE + "test_what_everybody_may_see_has_none",
    ),
    guard(
        "portal-reference-logged",
        "the number that she reads out stands in the log",
        _DOORS,
        "            request.scope[REFERENCE] = page.told\n",
        "            pass\n",
        _T_REFERENCE + "test_a_stop_that_is_not_known_has_one",
    ),
    guard(
        "portal-error-call",
        "what is said of a form that is not ours says whom to call beside it",
        _SRC + "pages/errors.py",
        '    return _said(page, 403, "errors.not_ours", call=True)\n',
        '    return _said(page, 403, "errors.not_ours")\n',
        _T_REFERENCE + "test_after_any_form_it_says_whom_to_call_beside_what_is_said",
    ),
    guard(
        "portal-stop-too-late",
        "a stop of what has just ended says how it ended",
        _SRC + "pages/sharing.py",
        "        # It is over already: the page says how it ended.\n"
        "        if refused.reason not in _TOO_LATE:\n            raise\n",
        "        raise\n",
        _T_STOPS + "test_a_stop_of_what_has_just_ended_says_how_it_ended",
    ),
    guard(
        "portal-stop-before-pin",
        "before a new PIN she is shown what her stop did",
        _SRC + "pages/sharing.py",
        "    if answer.seat.must_change_pin:\n",
        "    if False:\n",
        _T_STOPS + "test_before_a_new_pin_she_is_shown_that_everything_has_stopped",
    ),
    guard(
        "portal-form-origin",
        "a form counts only if a page of ours sent it",
        _DOORS,
        "            if sender is Sender.OTHER:\n",
        "            if False:\n",
        _T + "test_a_form_from_elsewhere_is_refused",
    ),
    guard(
        "portal-form-token",
        "a form of hers carries the token of her session",
        _DOORS,
        '            if changes and not seat.token_matches(page.session, page.form.field("c")):\n',
        "            if False:\n",
        _T + "test_a_form_without_this_sessions_token_is_refused",
    ),
    guard(
        "portal-foreign-origin",
        "an Origin of somebody else refuses in any case",
        _FORMS,
        '    if origin != "null" and not _same(origin, headers.get("host", ""), hosts):\n',
        "    if False:\n",
        _T + "test_a_form_from_elsewhere_is_refused",
    ),
    guard(
        "portal-sign-in-unsaid",
        "nobody is signed in by a form of which the browser does not say whose page made it",
        _DOORS,
        "            if sender is Sender.UNSAID and route.open and not route.harmless:\n",
        "            if False:\n",
        _T + "test_such_a_browser_signs_nobody_in_and_says_what_to_do",
    ),
    guard(
        "portal-pin-behind-back",
        "no form with card and PIN stands behind Back where it could be sent again and let in",
        _DOORS,
        "    if not route.later or page.scripted or not (failed or wait):\n",
        "    if True:\n",
        "tests/portal/test_core_behind_back.py::test_a_wait_is_told_on_another_page",
    ),
    guard(
        "portal-undone-renewed",
        "nothing is said to be undone where a first press was done",
        _SRC + "pages/signin.py",
        'Route("/in/pin", get=new_pin, post=pin_changed, renews=True, later="/in/pin")',
        'Route("/in/pin", get=new_pin, post=pin_changed, later="/in/pin")',
        _T + "test_of_what_was_not_pressed_nothing_is_said",
    ),
    guard(
        "portal-phone",
        "in production she is told whom to call",
        _SRC + "settings.py",
        "        if not value and _production(info):\n",
        "        if False:\n",
        _PROCESS + "test_production_names_whom_to_call_the_proxy_before_it_and_a_way_out",
    ),
    guard(
        "portal-proxy-named",
        "in production behind a proxy not everybody is one network",
        _SRC + "settings.py",
        '        if not near and _production(info) and info.data.get("web_cert_file") is None:\n',
        "        if False:\n",
        _PROCESS + "test_production_names_whom_to_call_the_proxy_before_it_and_a_way_out",
    ),
    guard(
        "portal-exit-elsewhere",
        "in production leaving never ends on a page of the portal",
        _SRC + "settings.py",
        "        if (own or not value) and _production(info):\n",
        "        if False:\n",
        _PROCESS + "test_production_names_whom_to_call_the_proxy_before_it_and_a_way_out",
    ),
    guard(
        "portal-body-bound",
        "a form is bounded, whatever it says of its length",
        _FORMS,
        "        if len(body) > BODY_MAX:\n",
        "        if False:\n",
        _T + "test_a_body_is_bounded_also_where_its_length_is_not_told",
    ),
    guard(
        "portal-host",
        "only our own hosts are answered",
        _GUARD,
        '        if len(host) != 1 or own_host(host[0].decode("latin-1"), self._hosts) is None:\n',
        "        if False:\n",
        _T + "test_another_host_is_refused_and_never_repeated",
    ),
    guard(
        "portal-frames",
        "no page of hers is shown inside another",
        _GUARD,
        "frame-ancestors 'none'",
        "frame-ancestors *",
        _T + "test_the_policy_that_every_answer_has_is_the_strict_one",
    ),
    Guard(
        "portal-frames-in-a-browser",
        "a browser shows no page of hers inside another",
        Edit(_GUARD, "frame-ancestors 'none'", "frame-ancestors *"),
        "tests/browser/test_framed.py::test_no_page_of_hers_is_shown_inside_of_a_strangers",
        also=(Edit(_GUARD, '    "x-frame-options": "DENY",\n', ""),),
    ),
    guard(
        "portal-one-cookie",
        "two cookies of our name are nobody's",
        _SRC + "seat.py",
        "    if len(found) != 1 or not _COOKIE_VALUE.fullmatch(found[0]):\n",
        "    if not found or not _COOKIE_VALUE.fullmatch(found[0]):\n",
        _T + "test_two_cookies_of_our_name_are_nobody",
    ),
    guard(
        "portal-leave-by-visit",
        "what only embeds the way out signs nobody out",
        _SRC + "pages/leaving.py",
        "    if page.leaving:\n",
        "    if True:\n",
        _SEAT + "test_what_is_no_visit_signs_nobody_out",
    ),
    guard(
        "portal-leave-not-framed",
        "what stands inside of a stranger's page signs nobody out",
        _DOORS,
        '            and headers.get("sec-fetch-dest", "document") == "document"\n',
        "",
        _SEAT + "test_what_stands_inside_of_a_page_signs_nobody_out",
    ),
    guard(
        "portal-leave-ends-session",
        "leaving ends the session on the server",
        _SRC + "pages/leaving.py",
        "        end_session(page)\n",
        "        pass\n",
        _SEAT + "test_leaving_ends_the_session_on_the_server",
    ),
    guard(
        "portal-old-session-ends",
        "a new sign-in ends the session that the browser had",
        _SRC + "pages/signin.py",
        "    end_session(page)\n    page.keep(answer.session, None)\n",
        "    page.keep(answer.session, None)\n",
        _SEAT + "test_a_new_sign_in_ends_the_session_before",
    ),
    guard(
        "portal-proxy",
        "only our own proxy says for whom it asks",
        _SRC + "peer.py",
        "    if _one_of(address, proxies):\n",
        "    if forwarded:\n",
        _PROCESS + "test_only_our_own_proxy_says_for_whom_it_asks",
    ),
    guard(
        "portal-plain-http",
        "without a certificate it listens on this machine alone",
        _SRC + "settings.py",
        "        if self.web_cert_file is None and not is_loopback(",
        "        if False and not is_loopback(",
        _PROCESS + "test_settings_that_are_not_safe_are_refused",
    ),
    guard(
        "portal-language-goes-home",
        "a form leads to our own pages alone",
        _SRC + "pages/lang.py",
        'to if _PAGE.fullmatch(to) else "/home"',
        'to or "/home"',
        _T + "test_the_language_goes_back_to_our_own_pages_alone",
    ),
)
