"""A browser without scripts, for tests: it reads the pages, follows links and presses buttons.

It knows nothing of what a page should hold: a form is sent with the fields that the page gave it,
so that a field that is missing from a page is missing from the request.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

TIMEOUT_S = 30.0
_VOID = frozenset({"input", "meta", "link", "br", "img", "hr"})
_SILENT = frozenset({"script", "style", "title"})


@dataclass
class Control:
    """An input or a button of a form."""

    kind: str
    name: str
    value: str
    on: bool
    text: str = ""


@dataclass
class Form:
    """A form as the page has it; ``where`` is the text around it, for nothing but messages."""

    action: str
    controls: list[Control] = field(default_factory=list)

    def button(self, text: str) -> Control:
        found = [c for c in self.controls if c.kind == "submit" and c.text.startswith(text)]
        assert len(found) == 1, (text, [c.text for c in self.controls if c.kind == "submit"])
        return found[0]

    def named(self, name: str) -> list[Control]:
        return [control for control in self.controls if control.name == name]

    def fields(self, button: Control | None = None) -> list[tuple[str, str]]:
        """What a browser sends."""
        sent = [
            (control.name, control.value)
            for control in self.controls
            if control.name and control.on and control.kind != "submit"
        ]
        if button is not None and button.name:
            sent.append((button.name, button.value))
        return sent


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.words: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.forms: list[Form] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self._form: Form | None = None
        self._taking: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "form":
            self._form = Form(values.get("action", ""))
            self.forms.append(self._form)
        elif tag == "input" and self._form is not None:
            kind = values.get("type", "text")
            on = kind not in ("checkbox", "radio") or "checked" in values
            self._form.controls.append(
                Control(kind, values.get("name", ""), values.get("value", ""), on)
            )
        elif tag == "button" and self._form is not None and values.get("type") == "submit":
            self._form.controls.append(
                Control("submit", values.get("name", ""), values.get("value", ""), False)
            )
            self._taking.append([])
        elif tag in ("a", "h1"):
            self._taking.append([values.get("href", "")])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "form":
            self._form = None
        elif tag == "button" and self._form is not None and self._taking:
            self._form.controls[-1].text = _joined(self._taking.pop())
        elif tag == "a" and self._taking:
            href, *text = self._taking.pop()
            self.links.append((_joined(text), href))
        elif tag == "h1" and self._taking:
            self.headings.append(_joined(self._taking.pop()[1:]))

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data.strip()
        if not _SILENT & set(self._open):
            self.words.append(data)
        for taking in self._taking:
            taking.append(data)


def _joined(parts: list[str]) -> str:
    return " ".join("".join(parts).split())


@dataclass
class Seen:
    """What the browser shows."""

    status: int
    path: str
    html: str
    headers: dict[str, str]

    def __post_init__(self) -> None:
        self._reader = _Reader()
        self._reader.feed(self.html)

    @property
    def title(self) -> str:
        return self._reader.title

    @property
    def heading(self) -> str:
        return self._reader.headings[0]

    @property
    def text(self) -> str:
        """Every word on it, one space between."""
        return _joined(self._reader.words)

    @property
    def links(self) -> list[tuple[str, str]]:
        return self._reader.links

    @property
    def forms(self) -> list[Form]:
        return self._reader.forms

    def link(self, text: str) -> str:
        found = [href for words, href in self.links if words.startswith(text)]
        assert found, (text, self.links)
        return found[0]

    def form(self, button: str) -> Form:
        """The first form that has a button of this text."""
        for form in self.forms:
            if any(c.kind == "submit" and c.text.startswith(button) for c in form.controls):
                return form
        raise AssertionError((button, self.text))


@dataclass
class Browser:
    """One window. ``presses`` counts links and buttons."""

    port: int
    session: str = ""
    language: str = ""
    presses: int = 0
    page: Seen = field(init=False)

    def open(self, path: str) -> Seen:
        """Ask for ``path``, and follow where it leads."""
        self.page = self._shown("GET", path, None)
        return self.page

    def follow(self, text: str) -> Seen:
        self.presses += 1
        return self.open(self.page.link(text).partition("#")[0])

    def press(self, button: str, **typed: str) -> Seen:
        """Press a button of the page. ``typed`` fills in fields by name."""
        self.presses += 1
        form = self.page.form(button)
        chosen = form.button(button)
        sent = [(name, value) for name, value in form.fields(chosen) if name not in typed]
        for name in typed:
            assert form.named(name), name
        return self.post(form.action, [*sent, *typed.items()])

    def post(self, path: str, fields: list[tuple[str, str]]) -> Seen:
        """Send a form, and follow where it leads."""
        self.page = self._shown("POST", path, fields)
        return self.page

    def sent(self, method: str, path: str, fields: list[tuple[str, str]] | None) -> Seen:
        """One request and its own answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
        if self.session:
            headers["Cookie"] = f"__Host-s={self.session}"
        if self.language:
            headers["Accept-Language"] = self.language
        body = None
        if fields is not None:
            headers["Origin"] = f"http://127.0.0.1:{self.port}"
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            found = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        cookie = found.get("set-cookie", "")
        if cookie.startswith("__Host-s="):
            self.session = cookie.partition(";")[0].removeprefix("__Host-s=")
        return Seen(answer.status, path, text, found)

    def _shown(self, method: str, path: str, fields: list[tuple[str, str]] | None) -> Seen:
        found = self.sent(method, path, fields)
        for _ in range(5):
            if found.status != 303:
                return found
            found = self.sent("GET", found.headers["location"], None)
        raise AssertionError("it leads round and round")
