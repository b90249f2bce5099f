"""US postal codes of states (USPS Publication 28, appendix B) and the names people type."""

from __future__ import annotations

from typing import Final

_TEXT = (
    "AL Alabama;AK Alaska;AZ Arizona;AR Arkansas;CA California;CO Colorado;CT Connecticut;"
    "DE Delaware;DC District of Columbia;FL Florida;GA Georgia;HI Hawaii;ID Idaho;IL Illinois;"
    "IN Indiana;IA Iowa;KS Kansas;KY Kentucky;LA Louisiana;ME Maine;MD Maryland;"
    "MA Massachusetts;MI Michigan;MN Minnesota;MS Mississippi;MO Missouri;MT Montana;"
    "NE Nebraska;NV Nevada;NH New Hampshire;NJ New Jersey;NM New Mexico;NY New York;"
    "NC North Carolina;ND North Dakota;OH Ohio;OK Oklahoma;OR Oregon;PA Pennsylvania;"
    "RI Rhode Island;SC South Carolina;SD South Dakota;TN Tennessee;TX Texas;UT Utah;"
    "VT Vermont;VA Virginia;WA Washington;WV West Virginia;WI Wisconsin;WY Wyoming;"
    "PR Puerto Rico;VI Virgin Islands;GU Guam;AS American Samoa;MP Northern Mariana Islands"
)

STATES: Final[dict[str, str]] = {
    code: name for code, _, name in (item.partition(" ") for item in _TEXT.split(";"))
}
CODES: Final[dict[str, str]] = {name.casefold(): code for code, name in STATES.items()}


def code_of(text: str) -> str:
    """The postal code of the state that ``text`` names as a whole, else ""."""
    plain = " ".join(text.split())
    if plain.upper() in STATES:
        return plain.upper()
    return CODES.get(plain.casefold(), "")
