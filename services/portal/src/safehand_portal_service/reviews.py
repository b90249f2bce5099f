"""For two people who review a language: what is left, and the line that says they have read it.

::

    python -m safehand_portal_service.reviews so list

prints each text of the page that nobody has reviewed, beside the English one, with the line for its
entry. The line is only true when two people have read both texts; nothing here can know that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from safehand_core.errors import SafehandError

from safehand_portal_service.catalogue import SOURCE, Catalogue, read, stamp
from safehand_portal_service.words import LOCALE


def left(catalogue: Catalogue, source: Catalogue, page: str) -> list[str]:
    """A few lines for each text of ``page`` that is not reviewed."""
    blocks = []
    for key in catalogue.unreviewed(page):
        own, english = catalogue.entries[key].forms, source.entries[key].forms
        known = () if catalogue.tag == SOURCE else english
        blocks.append(
            "\n".join(
                [
                    key,
                    *(f"  {SOURCE}: {form}" for form in english),
                    *(f"  {catalogue.tag}: {form}" for form in own if catalogue.tag != SOURCE),
                    f"  # reviewed: YYYY-MM-DD <role>, <role> [{stamp(key, known, own)}]",
                ]
            )
        )
    return blocks


def main(arguments: Sequence[str], folder: Path = LOCALE) -> int:
    """``TAG PAGE``; returns the exit status: 0 when nothing is left."""
    if len(arguments) != 2:
        print("usage: python -m safehand_portal_service.reviews LANGUAGE PAGE", file=sys.stderr)
        return 2
    tag, page = arguments
    try:
        source = read(folder / SOURCE)
        catalogue = source if tag == SOURCE else read(folder / tag, source)
    except SafehandError as error:
        print(f"{error.message}: {error.metadata.get('where', '')}", file=sys.stderr)
        return 2
    blocks = left(catalogue, source, page)
    print("\n\n".join([*blocks, f"{len(blocks)} left"]))
    return 1 if blocks else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
