"""Guards of traces, metrics and acknowledgements."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_ALLOW: Final = "libs/telemetry/src/safehand_telemetry/allow.py"
_EXPORT: Final = "libs/telemetry/src/safehand_telemetry/export.py"
_PAGE: Final = "libs/telemetry/src/safehand_telemetry/page.py"
_TRACE: Final = "libs/core/src/safehand_core/trace.py"
_CHAIN: Final = "libs/rpc/src/safehand_rpc/chain.py"
_OBSERVE: Final = "libs/rpc/src/safehand_rpc/observe.py"
_ACKNOWLEDGED: Final = "services/notify/src/safehand_notify_service/acknowledged.py"

_T_ALLOW: Final = "tests/telemetry/test_allow_list.py::"
_T_RPC: Final = "tests/telemetry/test_rpc.py::"
_T_PAGE: Final = "tests/telemetry/test_page.py::"
_T_GONE: Final = "tests/telemetry/test_collector_gone.py::"
_T_ACKNOWLEDGED: Final = "tests/telemetry/test_acknowledged.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "span-attributes",
        "only listed attributes with listed values leave in a span",
        _ALLOW,
        "        if test is not None and isinstance(value, str | int) and test(value):\n",
        "        if isinstance(value, str | int):\n",
        _T_ALLOW + "test_everything_that_is_not_on_the_list_is_gone",
    ),
    guard(
        "span-values",
        "a listed attribute takes only its own values",
        _ALLOW,
        "        if test is not None and isinstance(value, str | int) and test(value):\n",
        "        if test is not None and isinstance(value, str | int):\n",
        _T_ALLOW + "test_a_listed_attribute_takes_only_its_own_values",
    ),
    guard(
        "span-names",
        "a span of another name does not leave",
        _ALLOW,
        "    if context is None or not name_allowed(span.name):\n",
        "    if context is None:\n",
        _T_ALLOW + "test_a_span_of_another_name_does_not_leave",
    ),
    guard(
        "trace-from-services-only",
        "an agency cannot name the trace of its calls",
        _CHAIN,
        '    if call.principal.kind != "service":\n        return ""\n',
        "",
        _T_RPC + "test_an_agency_cannot_name_the_trace",
    ),
    guard(
        "trace-polls",
        "what a service asks by itself begins no trace",
        _CHAIN,
        "            if inbound or call.principal.role not in BEHIND:\n",
        "            if True:\n",
        _T_RPC + "test_a_poll_of_a_service_begins_no_trace",
    ),
    guard(
        "trace-shape",
        "only a well-formed traceparent is one",
        _TRACE,
        "    match = _SHAPE.fullmatch(text)\n",
        "    match = _SHAPE.match(text)\n",
        "tests/telemetry/test_trace_context.py::test_anything_else_is_none",
    ),
    guard(
        "spans-by-https",
        "spans leave the machine by https only",
        _EXPORT,
        '        if parts.scheme != "https":\n',
        "        if False:\n",
        _T_GONE + "test_spans_leave_this_machine_by_https_only",
    ),
    guard(
        "spans-bounded",
        "a collector that is gone costs spans and not memory",
        _EXPORT,
        "            if self._stopping or len(self._waiting) >= QUEUE:\n",
        "            if self._stopping:\n",
        _T_GONE + "test_a_full_queue_drops_and_counts",
    ),
    guard(
        "page-operator-only",
        "off this machine only the service's own operator reads the numbers",
        _OBSERVE,
        "        return uris == [operator]\n",
        "        return True\n",
        _T_PAGE + "test_elsewhere_only_the_services_own_operator_reads",
    ),
    guard(
        "page-tls",
        "off this machine the page asks for a certificate",
        _PAGE,
        "    secure = None if host in LOOPBACK else context\n",
        "    secure = None\n",
        _T_PAGE + "test_elsewhere_only_the_services_own_operator_reads",
    ),
    guard(
        "page-readers",
        "readers at one time are bounded",
        _PAGE,
        "        if not self._free.acquire(blocking=False):\n",
        "        if False:\n",
        _T_PAGE + "test_readers_at_one_time_are_bounded",
    ),
    guard(
        "stop-waits",
        "a delivered stop waits for its acknowledgement",
        _ACKNOWLEDGED,
        "    if event.type in STOPS:\n",
        "    if False:\n",
        _T_ACKNOWLEDGED + "test_a_stop_waits_until_it_is_acknowledged",
    ),
    guard(
        "acknowledge-reached",
        "what was not delivered cannot be acknowledged",
        _ACKNOWLEDGED,
        "        if up_to > (connection.execute(heads).scalar_one_or_none() or 0):\n",
        "        if False:\n",
        _T_ACKNOWLEDGED + "test_what_was_not_delivered_cannot_be_acknowledged",
    ),
    guard(
        "acknowledge-own",
        "an agency acknowledges its own deliveries and no other's",
        _ACKNOWLEDGED,
        "                STOP_WAITING.c.agency == agency, STOP_WAITING.c.cursor <= up_to\n",
        "                STOP_WAITING.c.cursor <= up_to\n",
        _T_ACKNOWLEDGED + "test_one_agency_does_not_acknowledge_for_another",
    ),
)
