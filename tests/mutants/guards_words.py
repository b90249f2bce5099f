"""Guards of the words on her pages: what may be shown, what a value can do, what names may say."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_PORTAL: Final = "services/portal/src/safehand_portal_service/"
_WORDS: Final = _PORTAL + "words.py"
_CATALOGUE: Final = _PORTAL + "catalogue.py"
_NEUTRAL: Final = _PORTAL + "neutral.py"
_FIND: Final = _PORTAL + "pages/find.py"
_PAGES: Final = _PORTAL + "pages/"

_T_WORDS: Final = "tests/portal/test_words.py::"
_T_NEUTRAL: Final = "tests/portal/test_neutral.py::"
_T_FIND: Final = "tests/portal/test_find.py::"
_T_HELD: Final = "tests/portal/test_pages_held.py::"
_T_PLAIN: Final = "tests/portal/test_without_script.py::"

GUARDS: Final[tuple[Guard, ...]] = (
    guard(
        "words-unreviewed",
        "what nobody has reviewed never stands where she decides",
        _WORDS,
        "        if page in SENSITIVE and not self._all.allow_unreviewed:\n",
        "        if False:\n",
        _T_WORDS + "test_unreviewed_words_never_stand_where_she_decides",
    ),
    guard(
        "words-chrome",
        "the parts that every page has count as a part of the page",
        _WORDS,
        "            known = bool(self._catalogues[tag].unreviewed(*shown, *CHROME))\n",
        "            known = bool(self._catalogues[tag].unreviewed(*shown))\n",
        _T_WORDS + "test_one_text_that_nobody_reviewed_is_enough",
    ),
    guard(
        "words-stamp",
        "an edit after the review undoes it",
        _CATALOGUE,
        '    return found["stamp"] == stamp(key, english.forms if english else (), forms)\n',
        "    return True\n",
        _T_WORDS + "test_an_edit_after_the_review_undoes_it",
    ),
    guard(
        "words-escape",
        "a value is text and never markup",
        _WORDS,
        '    return Markup("<bdi>") + text + Markup("</bdi>")\n',
        '    return Markup("<bdi>" + text + "</bdi>")\n',
        _T_WORDS + "test_no_value_ends_its_isolation",
    ),
    guard(
        "words-whole",
        "a language that is not whole is refused at the start",
        _CATALOGUE,
        "        _same(catalogue, source)\n",
        "        pass\n",
        _T_WORDS + "test_a_catalogue_that_is_not_whole_is_refused",
    ),
    guard(
        "words-pseudo",
        "no browser is given the pseudo-locale by itself",
        _WORDS,
        "            if not found or not tag or tag == pseudo.TAG:\n",
        "            if not found or not tag:\n",
        _T_WORDS + "test_the_best_language",
    ),
    guard(
        "neutral-start",
        "the portal does not start under a name that says something",
        _NEUTRAL,
        "        if any(found(text) for text in texts):\n",
        "        if False:\n",
        _T_NEUTRAL + "test_the_portal_does_not_start_under_such_a_name",
    ),
    guard(
        "neutral-accents",
        "an accent or a vowel sign hides no word from the lint",
        _NEUTRAL,
        '    return "".join(char for char in parts if not unicodedata.combining(char))\n',
        "    return text.casefold()\n",
        _T_NEUTRAL + "test_the_lint_sees_them",
    ),
    guard(
        "find-address",
        "a secret place shows no address, whatever the directory sends",
        _FIND,
        "        places=() if secret else tuple(service.addresses),\n",
        "        places=tuple(service.addresses),\n",
        _T_FIND + "test_a_secret_place_is_a_name_and_a_number",
    ),
    guard(
        "find-description",
        "a secret place shows nothing that somebody wrote freely",
        _FIND,
        '        text="" if secret else service.description,\n',
        "        text=service.description,\n",
        _T_FIND + "test_a_secret_place_is_a_name_and_a_number",
    ),
    guard(
        "words-borrowed",
        "a page is marked from whatever file it takes an unreviewed text",
        _WORDS,
        "            self._unchecked.add(self.lang)\n",
        "            pass\n",
        _T_HELD + "test_an_unreviewed_text_is_marked_from_whatever_file_it_comes",
    ),
    guard(
        "words-hers",
        "that a page is in English, and whom to call, is said in her language",
        _WORDS,
        "                Line(own.lang, own.dir, own._instead(name)),\n",
        "                None,\n",
        _T_WORDS + "test_that_it_is_in_english_and_whom_to_call_is_said_in_her_language_too",
    ),
    guard(
        "words-going",
        "of a step that nobody can see it is not said that it goes on",
        _PAGES + "shown_steps.py",
        "            going=False,\n",
        "            going=True,\n",
        "tests/portal/test_pages_steps_words.py::test_without_referral_the_stage_is_not_guessed",
    ),
    guard(
        "home-ready",
        "home counts a step that is not sent yet",
        _PAGES + "home.py",
        "    count = len(waiting) + len(ready)\n",
        "    count = len(waiting)\n",
        "tests/portal/test_home_next.py::"
        "test_what_is_not_sent_yet_counts_as_it_does_on_the_page_of_steps",
    ),
    guard(
        "list-away",
        "who came to her list and finds nobody there is told how to stop now",
        _PAGES + "errors.py",
        '        second, call = "errors.down_stop", True\n',
        "        pass\n",
        "tests/portal/test_pages_stops.py::"
        "test_a_stop_whose_page_cannot_be_shown_is_not_said_to_be_nothing",
    ),
    guard(
        "language-here",
        "from an answer that cannot be asked for again a language leads to a page that can",
        _PORTAL + "doors.py",
        "        page.here = page.here if shown is None else page.path\n",
        "        page.here = page.path\n",
        _T_PLAIN + "test_where_nobody_knows_if_it_stopped_a_language_leads_to_home",
    ),
    guard(
        "language-away",
        "with nobody there the pages that she goes to keep the language that she chose",
        _PORTAL + "page.py",
        "        return path if self.signed_in else self.tongued(path)\n",
        "        return path\n",
        _T_PLAIN + "test_where_nobody_knows_if_it_stopped_a_language_leads_to_home",
    ),
    guard(
        "language-open",
        "a page for everybody is in the language that she chose though her session takes none",
        _PAGES + "lang.py",
        "        if to not in OPEN_PATHS and not isinstance(problem, backend.Down):\n",
        "        if not isinstance(problem, backend.Down):\n",
        _T_PLAIN + "test_such_a_page_is_in_it_though_her_session_takes_none",
    ),
    guard(
        "language-shown-all",
        "choosing a language claims nothing that only another press does",
        _PAGES + "lang.py",
        '    r"(?!/list/all)/(?:home',
        '    r"/(?:home',
        _T_PLAIN + "test_so_it_does_where_a_form_was_refused",
    ),
)
