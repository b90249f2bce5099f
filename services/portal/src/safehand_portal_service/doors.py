"""From a request to an answer: session, form checks, and the pages for what can go wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from safehand_core import logs
from starlette.requests import Request
from starlette.responses import Response

from safehand_portal_service import backend, forms, peer, seat
from safehand_portal_service.forms import BadForm, Form, Sender
from safehand_portal_service.lanes import Full, Lane, Lanes
from safehand_portal_service.page import GO_TYPE, Handler, Page, Portal, Route
from safehand_portal_service.pages import errors, signin
from safehand_portal_service.watched import FAULT, REFERENCE

_HEAD: Final = ("GET", "HEAD")


def endpoint(
    portal: Portal, lanes: Lanes, *routes: Route
) -> Callable[[Request], Awaitable[Response]]:
    """What Starlette calls for the routes of one path."""
    shown = next((route for route in routes if route.get is not None), None)
    sent = next((route for route in routes if route.post is not None), None)
    said = partial(lanes.run, Lane.WORDS)

    async def handle(request: Request) -> Response:
        page = _page(portal, request)
        answer = await answered(request, page)
        if page.told and answer.status_code >= errors.OURS_FROM:
            request.scope[REFERENCE] = page.told
        return answer

    async def answered(request: Request, page: Page) -> Response:
        changes = request.method == "POST"
        route = sent if changes else shown if request.method in _HEAD else None
        handler = None if route is None else route.post if changes else route.get
        if route is None or handler is None:
            return await said(partial(signin.neutral, page, changes))
        page.open = route.open
        page.here = page.here if shown is None else page.path
        if changes:
            sender = forms.sender(request, portal.settings.host_names)
            if sender is Sender.OTHER:
                return await said(partial(errors.not_ours, page))
            # The token of a session is enough by itself; where there is none, nothing stands
            # between her and a form that a stranger made.
            if sender is Sender.UNSAID and route.open and not route.harmless:
                return await said(partial(errors.old_browser, page))
            try:
                page.form = await forms.read(request)
            except BadForm as bad:
                return await said(partial(errors.bad_form, page, bad.status))
        try:
            answer = await lanes.run(route.lane, partial(_served, page, route, handler, changes))
        except Full:
            answer = await said(partial(errors.busy, page))
        if not changes:
            return answer
        told = _forgotten(page, route, answer)
        if told is not answer and answer.status_code >= errors.OURS_FROM:
            request.scope[FAULT] = answer.status_code
        return told

    return handle


def _forgotten(page: Page, route: Route, answer: Response) -> Response:
    """``answer``, or where a PIN waits in a form that could be sent again, the way to a page that
    says the same (``Route.later``)."""
    failed = answer.status_code >= errors.OURS_FROM
    wait = answer.headers.get("retry-after", "")
    if not route.later or page.scripted or not (failed or wait):
        return answer
    if not all(value.isascii() and value.isdecimal() for value in page.params.values()):
        return answer
    minutes = 0 if failed else errors.minutes(int(wait))
    later = route.later.format(**page.params)
    return page.see_other(page.tongued(f"{later}/{minutes}"))


def unknown(portal: Portal, lanes: Lanes) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What Starlette calls where no route fits: the page that everybody gets."""

    async def handle(request: Request, _: Exception) -> Response:
        pressed = request.method == "POST"
        return await lanes.run(Lane.WORDS, partial(signin.neutral, _page(portal, request), pressed))

    return handle


def _page(portal: Portal, request: Request) -> Page:
    headers = request.headers
    asked = request.query_params.get("l", "")
    return Page(
        portal=portal,
        path=request.url.path,
        params={name: str(value) for name, value in request.path_params.items()},
        form=Form(),
        session=seat.read("; ".join(headers.getlist("cookie"))),
        language=portal.catalogues.known(asked),
        accept_language=headers.get("accept-language", ""),
        network=peer.word(
            portal.salt,
            request.client.host if request.client else "",
            ",".join(headers.getlist("x-forwarded-for")),
            portal.proxies,
            (headers.get("user-agent", ""), headers.get("accept-language", "")),
        ),
        scripted=headers.get("accept") == GO_TYPE,
        leaving=(
            headers.get("sec-fetch-mode", "navigate") == "navigate"
            and headers.get("sec-fetch-dest", "document") == "document"
            and "prefetch" not in headers.get("sec-purpose", "")
        ),
    )


def _served(page: Page, route: Route, handler: Handler, changes: bool) -> Response:
    pressed = changes and page.form.field("do") not in signin.BY_ITSELF
    try:
        if not route.open:
            if not page.session:
                return signin.neutral(page, pressed and not route.renews)
            if changes and not seat.token_matches(page.session, page.form.field("c")):
                return errors.not_ours(page)
        return handler(page)
    except backend.SessionOver:
        page.forget()
        return signin.neutral(page, pressed and not route.renews)
    except backend.Covered:
        return signin.again(page, pressed)
    except backend.PinChange:
        return page.see_other(page.tongued("/in/pin"))
    except backend.NotFound:
        return signin.neutral(page, pressed)
    except backend.Throttled as throttled:
        return errors.throttled(page, throttled.seconds, changes)
    except backend.Refused:
        return errors.refused(page, changes)
    except backend.Down:
        return errors.down(page, changes)
    except Exception as error:
        fields = {"exception": type(error).__name__}
        if reference := page.reference():
            fields["reference"] = reference
        logs.get().error("page.failed", **fields)
        return errors.failed(page, changes)
