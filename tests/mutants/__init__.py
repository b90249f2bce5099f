"""``make mutants``: switch off one guard at a time, and see that a test turns red.

``guard`` says what a guard is, ``guards_*`` list them, ``tree`` copies the sources, ``runner`` runs
one test against one copy, ``plugin`` (loaded by that pytest) reports how it failed and that the
code under test was the copy's.
"""
