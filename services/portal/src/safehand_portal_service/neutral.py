"""Names that say nothing: what never stands where somebody else may read it.

A title, an address, a cookie, a file's name, a header, a certificate: all of these stay in a
history, a task switcher, a router's log or a print. The stems are data; tests hold every such name
against them, and ``check`` holds what a deployment chooses. What a page says in its body is another
matter: there only ``BODY`` is banned, for what it makes of her.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from cryptography import x509
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

STEMS: Final[dict[str, tuple[str, ...]]] = {
    # language: parts of words. A hit inside another word counts too: it reads as quickly.
    "en": (
        "abuse",
        "asylum",
        "assault",
        "case",
        "complain",
        "consent",
        "crisis",
        "exploit",
        "hotline",
        "immigr",
        "police",
        "rape",
        "referr",
        "refuge",
        "safe",
        "shelter",
        "surviv",
        "traffic",
        "victim",
        "violen",
    ),
    "es": (
        "abus",
        "acogida",
        "agresi",
        "albergue",
        "asilo",
        "auxilio",
        "consentim",
        "crisis",
        "denunci",
        "derivaci",
        "explotaci",
        "maltrat",
        "migra",
        "polici",
        "queja",
        "refugi",
        "remision",
        "segur",
        "sobrevivi",
        "trata de",
        "victim",
        "violaci",
        "violen",
    ),
    "ar": (
        "آمن",
        "أزمة",
        "أمان",
        "إحالة",
        "إساءة",
        "استغلال",
        "اعتداء",
        "اغتصاب",
        "اتجار",
        "خط ساخن",
        "شرطة",
        "شكوى",
        "ضحايا",
        "ضحية",
        "عنف",
        "لاجئ",
        "لجوء",
        "مأوى",
        "ملجأ",
        "موافقة",
        "ناجي",
        "هجرة",
    ),
}

BODY: Final[dict[str, tuple[str, ...]]] = {
    # language: whole words (with their plurals), banned in every text of hers
    "en": (
        "authorise",
        "authorize",
        "beneficiary",
        "beneficiaries",
        "case",
        "cases",
        "data subject",
        "processing",
        "pursuant",
        "referral",
        "referrals",
        "revoke",
        "revoked",
        "victim",
        "victims",
    ),
    "es": (
        "autorizar",
        "beneficiaria",
        "beneficiario",
        "caso",
        "casos",
        "derivación",
        "detener",
        "remisión",
        "revocar",
        "titular de los datos",
        "tratamiento de datos",
        "víctima",
        "víctimas",
        "zina",
    ),
    "ar": (
        "إحالة",
        "إلغاء التفويض",
        "توقيف",
        "حالتك",
        "زنا",
        "صاحب البيانات",
        "ضحايا",
        "ضحية",
        "مستفيد",
        "مستفيدة",
        "معالجة البيانات",
    ),
}
"""Words that blame, label or come from a law. "Detener" and "توقيف" also mean an arrest."""


def found(text: str, *languages: str) -> list[str]:
    """Banned stems in ``text``, of these languages; of all where none is named."""
    plain = _plain(text)
    return sorted(
        stem
        for language in languages or STEMS
        for stem in STEMS.get(language, ())
        if _plain(stem) in plain
    )


def blaming(text: str, language: str) -> list[str]:
    """Banned words in a text of hers."""
    return [
        word
        for word in BODY.get(language, ())
        if re.search(rf"(?<!\w){re.escape(_plain(word))}(?!\w)", _plain(text))
    ]


def check(name: str, hosts: Iterable[str], certificate: Path | None, exit_url: str = "") -> None:
    """Refuse to start under a name that says something.

    Args:
        name: what every page calls itself.
        hosts: host names that browsers see.
        certificate: PEM file of what browsers are shown, or None.
        exit_url: where Leave goes, or empty; it lies in her history, too.

    Raises:
        SafehandError: CONFIG_INVALID; metadata names the setting.
    """
    away = urlsplit(exit_url)
    named = {
        "name": [name],
        "hosts": list(hosts),
        # What the browser shows of it: host, path and query, as words and not as octets.
        "exit_url": [away.hostname or "", unquote_plus(away.path), unquote_plus(away.query)],
    }
    if certificate is not None:
        # One that cannot be read is refused where it is used.
        with contextlib.suppress(OSError, ValueError):
            named["web_cert_file"] = names_in(certificate.read_bytes())
    for setting, texts in named.items():
        if any(found(text) for text in texts):
            raise SafehandError(
                Reason.CONFIG_INVALID,
                "a name that others can read is not neutral",
                metadata={"setting": setting},
            )


def names_in(pem: bytes) -> list[str]:
    """Every name in the first certificate of ``pem``: subject, issuer and alternative names."""
    certificate = x509.load_pem_x509_certificate(pem)
    names = [str(part.value) for part in (*certificate.subject, *certificate.issuer)]
    try:
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return names + [str(getattr(name, "value", "")) for name in other]


def _plain(text: str) -> str:
    """Without case, accents and vowel signs."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))
