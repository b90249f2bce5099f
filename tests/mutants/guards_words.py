"""Guards of the words on her pages: what may be shown, what a value can do, what names may say."""

from __future__ import annotations

from typing import Final

from tests.mutants.guard import Guard, guard

_PORTAL: Final = "services/portal/src/safehand_portal_service/"
_WORDS: Final = _PORTAL + "words.py"
_CATALOGUE: Final = _PORTAL + "catalogue.py"
_NEUTRAL: Final = _PORTAL + "neutral.py"
_FIND: Final = _PORTAL + "pages/find.py"

_T_WORDS: Final = "tests/portal/test_words.py::"
_T_NEUTRAL: Final = "tests/portal/test_neutral.py::"
_T_FIND: Final = "tests/portal/test_find.py::"

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
)
