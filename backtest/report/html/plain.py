"""Makes text from others harmless for a page: control characters are shown, text directions are isolated."""

from __future__ import annotations

import unicodedata

_PICTURES: dict[int, int | str] = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"},
    **dict.fromkeys([*range(0x7F, 0xA0), *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}"),
}


def visible(text: str) -> str:
    """The text with control characters, which HTML forbids, shown as symbols; line breaks and tabs stay."""
    return text.translate(_PICTURES)


def flat(text: str) -> str:
    """The text for places that cannot isolate directions (titles, attributes): no control or format characters."""
    return "".join(one for one in text if unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
