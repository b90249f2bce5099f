"""Words: languages, values, plurals, dates, what may be shown unreviewed, and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_portal_service import catalogue, pseudo, reviews
from safehand_portal_service.words import SENSITIVE, Catalogues

PHONE = "+1 555 0100"
MOMENT = 1_790_000_000
"""Monday, 21 September 2026, 14:13:20 UTC."""

Pages = dict[str, tuple[tuple[str, tuple[str, ...]], ...]]

ENGLISH: Pages = {
    "common": (
        ("common.language_name", ("English",)),
        ("common.when", ("{date}, {time}",)),
        ("common.unreviewed", ("Not yet checked.",)),
        ("common.not_in_language", ("Not in {language}.",)),
        ("common.not_in_language_call", ("Not in {language}. Call {phone}.",)),
        ("common.n", ("{count} step", "{count} steps")),
        ("common.greet", ("<b>& {name}, {other}",)),
    ),
    "list": (("list.stop", ("Stop",)),),
    "leave": (("leave.button", ("Leave",)),),
    "asked": (("asked.yes", ("Yes",)),),
    "find": (("find.h", ("Find",)),),
    "errors": (("errors.failed", ("Sorry",)),),
}
HEADS = {
    "en": "nplurals=2; plural=(n != 1);",
    "ga": "nplurals=2; plural=(n != 1);",
    "ar-EG": "nplurals=3; plural=(n==1 ? 0 : n==2 ? 1 : 2);",
}

SHIPPED = Catalogues.load(allow_unreviewed=True)
STRICT = Catalogues.load(phone=PHONE)
"""As in production."""


def write(
    folder: Path, tag: str, pages: Pages, *, reviewed: frozenset[str] = frozenset(), say: str = ""
) -> Path:
    """A language's folder. ``reviewed``: keys of a right review line; ``say``: one for all."""
    english = {key: forms for entries in ENGLISH.values() for key, forms in entries}
    place = folder / tag
    place.mkdir(parents=True, exist_ok=True)
    for page, entries in pages.items():
        lines = ['msgid ""', 'msgstr ""', f'"Language: {tag}\\n"']
        lines += ['"Content-Type: text/plain; charset=utf-8\\n"']
        lines += [f'"Plural-Forms: {HEADS[tag]}\\n"', ""]
        for key, forms in entries:
            source = () if tag == "en" else english.get(key, ())
            mark = catalogue.stamp(key, source, forms)
            line = f"2026-05-02 translator, survivor advocate [{mark}]" if key in reviewed else "no"
            lines += [f"# reviewed: {say or line}", f'msgid "{key}"']
            if len(forms) == 1:
                lines += [f'msgstr "{forms[0]}"', ""]
            else:
                lines += [f'msgid_plural "{key}"']
                lines += [f'msgstr[{i}] "{form}"' for i, form in enumerate(forms)] + [""]
        (place / f"{page}.po").write_text("\n".join(lines), encoding="utf-8")
    return folder


def irish(**changed: tuple[str, ...] | None) -> Pages:
    """Another language, whole but for what ``changed`` says (``a__b`` for ``a.b``)."""
    new = {key.replace("__", "."): forms for key, forms in changed.items()}
    pages: Pages = {}
    for page, entries in ENGLISH.items():
        kept = (
            (key, new.get(key, tuple(f"ga {form}" for form in forms))) for key, forms in entries
        )
        pages[page] = tuple((key, forms) for key, forms in kept if forms is not None)
    return pages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "en", ENGLISH)
    return write(tmp_path, "ga", irish(common__language_name=("Gaeilge",)))


@pytest.fixture(scope="module")
def shipped() -> Catalogues:
    return Catalogues.load(allow_unreviewed=True, phone=PHONE)


# --- which language -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "session", "accept", "tag"),
    [
        (None, "", "", "en"),
        ("es", "", "", "es"),
        ("ES", "", "ar", "es"),
        ("es", "ar", "", "ar"),
        ("klingon", "", "es", "es"),
        ("../../etc", "", "", "en"),
        (None, "", "ar-EG,ar;q=0.9,en;q=0.5", "ar"),
        (None, "", "de;q=1.0, es;q=0.3, en;q=0.2", "es"),
        (None, "", "es;q=0, en", "en"),
        (None, "", "fr-CA, *;q=0.1", "en"),
        (None, "", "es;q=banana", "en"),
        (None, "", "e" * 100_000, "en"),
        (None, "", "xx", "en"),
        ("xx", "", "", "xx"),
    ],
)
def test_the_best_language(
    shipped: Catalogues, query: str | None, session: str, accept: str, tag: str
) -> None:
    assert shipped.best(query, session, accept).lang == tag


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=200))
def test_whatever_a_browser_sends_is_some_language(query: str, session: str, accept: str) -> None:
    assert SHIPPED.best(query, session, accept).lang in {"en", "es", "ar", "xx"}


def test_a_folder_is_a_language(folder: Path) -> None:
    found = Catalogues.load(folder)

    assert [(item.tag, item.name, item.dir) for item in found.languages] == [
        ("en", "English", "ltr"),
        ("ga", "Gaeilge", "ltr"),
    ]


def test_the_switcher_has_names_in_their_own_script(shipped: Catalogues) -> None:
    names = {item.tag: (item.name, item.dir) for item in shipped.languages}

    assert names == {"en": ("English", "ltr"), "es": ("Español", "ltr"), "ar": ("العربية", "rtl")}


# --- values ---------------------------------------------------------------------------------------


def test_texts_and_values_are_escaped_and_isolated(folder: Path) -> None:
    shown = Catalogues.load(folder).words("en").t("common.greet", name="<i>", other=Markup("<u>"))

    assert shown == "&lt;b&gt;&amp; <bdi>&lt;i&gt;</bdi>, <u>"
    assert escape(shown) == shown


def test_an_attribute_gets_no_markup(folder: Path) -> None:
    shown = (
        Catalogues.load(folder).words("en").plain("common.greet", name="<i>", other=Markup("<u>x"))
    )

    assert shown == "<b>& \u2068<i>\u2069, \u2068x\u2069"
    assert not isinstance(shown, Markup)


@given(st.text(max_size=40))
def test_no_value_ends_its_isolation(value: str) -> None:
    shown = SHIPPED.words("en").t("list.asks", name=value)

    assert re.fullmatch(r"<bdi>[^<>]*</bdi> asks you a question\.", shown, re.S)


def test_a_missing_value_is_a_fault(shipped: Catalogues) -> None:
    with pytest.raises(KeyError):
        shipped.words("en").t("list.asks")
    with pytest.raises(KeyError):
        shipped.words("en").t("list.no_such_text")


def test_a_phone_number_runs_left_to_right(shipped: Catalogues) -> None:
    shown = shipped.words("ar").phone('+1 555 0100"<')

    assert shown == '<bdi dir="ltr" class="num">+1 555 0100&#34;&lt;</bdi>'


def test_lists_read_as_a_phrase(shipped: Catalogues) -> None:
    kinds = [shipped.words("es").category("NAME"), "<x>"]

    assert shipped.words("es").listed(kinds) == "su nombre y <bdi>&lt;x&gt;</bdi>"
    assert shipped.words("ar").listed(["a"]) == "<bdi>a</bdi>"


@pytest.mark.parametrize("tag", ["en", "es", "ar", "xx"])
def test_every_kind_and_purpose_has_plain_words(shipped: Catalogues, tag: str) -> None:
    said = shipped.words(tag)

    for code in CATEGORIES:
        assert code not in said.category(code)
    for code in PURPOSES:
        assert said.has(f"common.purpose.{code}"), code
    assert said.category("<NEW>") == "<bdi>&lt;NEW&gt;</bdi>"


# --- plurals and numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 يوم"),
        (1, "يوم واحد"),
        (2, "يومان"),
        (3, "3 أيام"),
        (10, "10 أيام"),
        (11, "11 يومًا"),
        (99, "99 يومًا"),
        (100, "100 يوم"),
        (102, "102 يوم"),
        (103, "103 أيام"),
        (111, "111 يومًا"),
        (180, "180 يومًا"),
    ],
)
def test_arabic_counts_as_arabic_does(shipped: Catalogues, count: int, shown: str) -> None:
    assert shipped.words("ar").n("asked.end.days", count) == shown


@given(st.integers(0, 100_000))
def test_every_count_has_a_form(count: int) -> None:
    for tag in ("en", "es", "ar", "xx"):
        assert SHIPPED.words(tag).n("asked.end.days", count)


def test_the_rule_is_the_catalogues_own(folder: Path) -> None:
    pages = irish(common__n=("aon {count}", "dó {count}", "{count} eile"))
    write(folder, "ar-EG", pages)
    said = Catalogues.load(folder).words("ar-EG")

    assert [str(said.n("common.n", count)) for count in (1, 2, 5)] == ["aon ١", "dó ٢", "٥ eile"]


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "day", "time"),
    [
        ("en", "Monday, September 21, 2026", "2:13\u202fPM"),
        ("es", "lunes, 21 de septiembre de 2026", "14:13"),
        ("ar", "الاثنين، 21 سبتمبر 2026", "2:13 م"),
    ],
)
def test_days_are_said_in_words(shipped: Catalogues, tag: str, day: str, time: str) -> None:
    said = shipped.words(tag)

    assert said.date(MOMENT) == day
    assert said.time(MOMENT) == time
    assert said.when(MOMENT) == f"{day}{'،' if tag == 'ar' else ','} {time}"


def test_a_day_is_a_day_of_her_zone() -> None:
    late = MOMENT + 10 * 3600
    here = Catalogues.load(zone="America/New_York").words("en")
    there = Catalogues.load(zone="Asia/Kabul").words("en")

    assert here.date(late).startswith("Monday")
    assert there.date(late).startswith("Tuesday")


def test_digits_follow_the_locale_where_it_has_its_own(folder: Path) -> None:
    write(folder, "ar-EG", irish(common__n=("{count}", "{count}", "{count}")))
    said = Catalogues.load(folder).words("ar-EG")

    assert "٢٠٢٦" in said.date(MOMENT)
    assert said.number(10) == "١٠"
    assert "555 0100" in said.phone(PHONE)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(SafehandError) as refused:
        Catalogues.load(zone="Mars/Olympus")

    assert refused.value.reason is Reason.CONFIG_INVALID


def test_zones_are_known_where_the_system_has_none() -> None:
    """A slim container has no /usr/share/zoneinfo: the locked tzdata is asked then."""
    known = "from zoneinfo import ZoneInfo; ZoneInfo('Asia/Kabul'); ZoneInfo('UTC')"
    environment = {**os.environ, "PYTHONTZPATH": ""}
    subprocess.run([sys.executable, "-c", known], env=environment, check=True)


# --- reviewed or not ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted(SENSITIVE))
@pytest.mark.parametrize("tag", ["es", "ar"])
def test_unreviewed_words_never_stand_where_she_decides(tag: str, page: str) -> None:
    shown = STRICT.best(tag, "", "").sensitive(page)

    assert (shown.lang, shown.dir, shown.wanted) == ("en", "ltr", tag)
    assert shown.notice is not None
    assert PHONE in shown.notice
    name = next(item.name for item in STRICT.languages if item.tag == tag)
    assert name in shown.notice
    assert shown.t("list.stop") == "Stop"


@pytest.mark.parametrize("phone", ["", PHONE])
@pytest.mark.parametrize("tag", ["es", "ar"])
def test_that_it_is_in_english_and_whom_to_call_is_said_in_her_language_too(
    tag: str, phone: str
) -> None:
    """The one text that is shown there though nobody has reviewed it."""
    shown = Catalogues.load(phone=phone).words(tag).sensitive("list")
    own = SHIPPED.words(tag)

    assert shown.hers is not None
    assert (shown.hers.lang, shown.hers.dir) == (tag, own.dir)
    name = Markup("<bdi>") + own.t("common.language_name") + Markup("</bdi>")
    if phone:
        said = own.t("common.not_in_language_call", language=name, phone=own.phone(phone))
    else:
        said = own.t("common.not_in_language", language=name)
    assert shown.hers.text == said
    assert SHIPPED.words(tag).sensitive("list").hers is None
    assert STRICT.words(tag).sensitive("find").hers is None
    assert STRICT.words("en").sensitive("list").hers is None


def test_elsewhere_unreviewed_words_are_marked() -> None:
    shown = STRICT.best("es", "", "").sensitive("find")

    assert shown.lang == "es"
    assert shown.notice == shown.t("common.unreviewed")


@pytest.mark.parametrize("page", sorted(SENSITIVE))
def test_the_sandbox_shows_them_marked(shipped: Catalogues, page: str) -> None:
    shown = shipped.best("ar", "", "").sensitive(page)

    assert shown.lang == "ar"
    assert shown.notice == shown.t("common.unreviewed")


@pytest.mark.parametrize("page", ["list", "find"])
def test_english_is_the_text_of_record(page: str) -> None:
    shown = STRICT.best("en", "", "").sensitive(page)

    assert shown.lang == "en"
    assert not shown.notice


def test_without_a_phone_the_worker_is_named() -> None:
    shown = Catalogues.load().best("es", "", "").sensitive("list")

    assert "support worker" in shown.notice


def test_what_two_people_reviewed_is_shown(folder: Path) -> None:
    every = frozenset(key for entries in ENGLISH.values() for key, _ in entries)
    write(folder, "ga", irish(), reviewed=every)
    shown = Catalogues.load(folder).words("ga").sensitive("list")

    assert shown.lang == "ga"
    assert not shown.notice


@pytest.mark.parametrize(
    "key", ["list.stop", "leave.button", "common.when", "asked.yes", "errors.failed"]
)
def test_one_text_that_nobody_reviewed_is_enough(folder: Path, key: str) -> None:
    every = {key for entries in ENGLISH.values() for key, _ in entries}
    write(folder, "ga", irish(), reviewed=frozenset(every - {key}))

    assert Catalogues.load(folder).words("ga").sensitive("list").lang == "en"


@pytest.mark.parametrize("change", ["en", "ga"])
def test_an_edit_after_the_review_undoes_it(folder: Path, change: str) -> None:
    every = frozenset(key for entries in ENGLISH.values() for key, _ in entries)
    write(folder, "ga", irish(), reviewed=every)
    file = folder / change / "list.po"
    file.write_text(file.read_text().replace("Stop", "Halt"))

    assert Catalogues.load(folder).words("ga").sensitive("list").lang == "en"


def test_a_fuzzy_entry_is_not_reviewed(folder: Path) -> None:
    every = frozenset(key for entries in ENGLISH.values() for key, _ in entries)
    write(folder, "ga", irish(), reviewed=every)
    file = folder / "ga" / "list.po"
    file.write_text(file.read_text().replace('msgid "list.stop"', '#, fuzzy\nmsgid "list.stop"'))

    assert Catalogues.load(folder).words("ga").sensitive("list").lang == "en"


# --- what is refused at the start -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"list__stop": None}, "ga/list.stop"),
        ({"list__stop": ("",)}, "ga/list.stop"),
        ({"common__n": ("{count} one",)}, "ga/common.n"),
        ({"common__n": ("{count} one", "")}, "ga/common.n"),
        ({"common__n": ("{count} one", "many {others}")}, "ga/common.n"),
        ({"common__greet": ("{name}",)}, "ga/common.greet"),
        ({"common__greet": ("{name} {other} {third}",)}, "ga/common.greet"),
        ({"common__greet": ("{name!r} {other}",)}, "ga/common.greet"),
        ({"common__greet": ("{name.x} {other}",)}, "ga/common.greet"),
        ({"common__greet": ("{name} {other} {",)}, "ga/common.greet"),
        ({"list__stop": ("a", "b")}, "ga/list.stop"),
    ],
)
def test_a_catalogue_that_is_not_whole_is_refused(
    folder: Path, changed: dict[str, tuple[str, ...] | None], where: str
) -> None:
    write(folder, "ga", irish(**changed))

    assert refused(folder) == where


def test_a_form_may_say_its_number_in_a_word(folder: Path) -> None:
    write(folder, "ga", irish(common__n=("aon chéim", "{count} céim")))

    assert Catalogues.load(folder).words("ga").n("common.n", 1) == "aon chéim"


def test_a_text_that_english_has_not_is_refused(folder: Path) -> None:
    pages = irish()
    pages["list"] += (("list.extra", ("níos mó",)),)
    write(folder, "ga", pages)

    assert refused(folder) == "ga/list.extra"


@pytest.mark.parametrize(
    "say",
    [
        "yes",
        "2026-05-02 translator",
        "2026-05-02 translator, advocate",
        "2026-05-02 translator, advocate [abc]",
    ],
)
def test_a_review_line_of_another_shape_is_refused(folder: Path, say: str) -> None:
    write(folder, "ga", irish(), say=say)

    assert refused(folder).startswith("ga/")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# reviewed: no\n", ""),
        ("# reviewed: no\n", "# reviewed: no\n# reviewed: yes\n"),
        ('msgid "list.stop"', 'msgid "find.stop"'),
        ('msgid "list.stop"', 'msgid "stop"'),
        ("Language: ga", "Language: es"),
        ('"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n', ""),
        ("nplurals=2; plural=(n != 1)", "nplurals=1; plural=0"),
        ('msgstr "ga Stop"', "msgstr ga Stop"),
    ],
)
def test_a_file_of_another_shape_is_refused(folder: Path, old: str, new: str) -> None:
    file = folder / "ga" / "list.po"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))

    assert refused(folder).startswith("ga")


def test_a_key_twice_is_refused(folder: Path) -> None:
    file = folder / "ga" / "list.po"
    text = file.read_text()
    file.write_text(text + "\n" + text[text.index("# reviewed") :].replace("ga Stop", "ga Other"))

    assert refused(folder) == "ga/list.po"


def test_a_folder_that_is_no_language_is_refused(folder: Path) -> None:
    (folder / "ga").rename(folder / "not-a-tag")

    assert refused(folder) == "not-a-tag"


def test_without_english_there_is_nothing(tmp_path: Path) -> None:
    assert refused(tmp_path) == "en"


def refused(folder: Path) -> str:
    with pytest.raises(SafehandError) as found:
        Catalogues.load(folder)
    assert found.value.reason is Reason.CONFIG_INVALID
    return found.value.metadata["where"]


# --- the pseudo-locale ----------------------------------------------------------------------------


def test_the_pseudo_locale_shows_what_english_says_longer(shipped: Catalogues) -> None:
    source = shipped.catalogue("en")
    made = pseudo.made(source)

    for key, entry in made.entries.items():
        english = source.entries[key]
        assert entry.fields == english.fields
        for form, text in zip(entry.forms, english.forms, strict=True):
            assert form.startswith("[")
            assert form.endswith("]")
            assert len(form) >= len(text) * (1 + pseudo.LONGER)
    assert made.locale == Locale.parse("en")


def test_the_pseudo_locale_is_not_for_people() -> None:
    assert STRICT.best("xx", "xx", "xx").lang == "en"
    assert "xx" not in {item.tag for item in SHIPPED.languages}


# --- for reviewers --------------------------------------------------------------------------------


def test_a_reviewer_is_given_the_line_that_counts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviews.main(["ga", "list"], folder) == 1
    shown = capsys.readouterr().out
    line = next(text for text in shown.splitlines() if "# reviewed:" in text).strip()
    file = folder / "ga" / "list.po"
    signed = line.replace("YYYY-MM-DD <role>, <role>", "2026-05-02 translator, survivor advocate")
    file.write_text(file.read_text().replace("# reviewed: no", signed))

    assert "en: Stop" in shown
    assert "ga: ga Stop" in shown
    assert reviews.main(["ga", "list"], folder) == 0
    assert "0 left" in capsys.readouterr().out
    assert reviews.main(["ga"], folder) == 2
    assert reviews.main(["tlh", "list"], folder) == 2
