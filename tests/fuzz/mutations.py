"""Hostile variations of valid documents: texts by their grammar, anything by its bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

NUMBERS = (
    *("0", "-0", "-1", "1e999", "-1e999", "NaN", "nan", "Infinity", "inf", "-inf", "1e-400", "5e-324", "1.8e308"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "9" * 400),
    *("9" * 5000, "0x10", "1_000", "+7", ".5", "5.", "1,5", "٣", "²", "1e5", "0.1e", "--1", "4294967296", "true"),
)
TEXTS = (
    *("", " ", "\t", "A" * 20_000, "../../../../etc/passwd", "/dev/zero", "a/b", "..", ".", "~nobody-here/x", "\x00"),
    *("\u202eevil", "\ufeff", "\u0000", "é", "🧨", "ZEC\nDASH", "ZEC\r\n", "%s%n{0}{value}", "{}", "$HOME", "-", "'"),
    *("ZEC/USDT:USDT", "zec", "1h", "0h", "999999999w", "1M", "-1h", "20250901-20251116", "nan", "None", "null"),
    *("__class__", "model_config", "self", "path", "\u0661\u0662h", "\ud7ff", "\U0010ffff", "a\\", "\\ud800", '"'),
)
DATES = (
    *("0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "2025-02-30", "2025-10-01T23:59:60Z", "2025-13-01"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2025-10-01T24:00:00Z", "2025-W40-3", "1969-12-31"),
    *("2025-10-01", "2025-10-01T00:00", "2025-10-01T00:00:00Z", "2025-10-01 00:00:00.123456789+00:00", "20251001"),
    *("-2025-10-01", "2025-10-1", "٢٠٢٥-10-01", "1e12", "2100-01-01", "1970-01-01T00:00:00Z"),
)
VALUES = (
    *("[]", "{}", "[[]]", "true", "false", "null", '""', '"x"', "0", "-1", "1.5", "[1, 2]", '["a", "a"]', '{"a": 1}'),
    *("{a = 1}", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "'''x'''", "inf", "nan", "[1, 'a', {}]"),
    *("[" * 30 + "]" * 30, "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, '["' + "a" * 9000 + '"]'),
)
LINES = (
    *("zzz = 1", "= 1", "[", "[[catalyst]]", "[x]", '"": 1,', ",", ",,,,,,,,,,,,", "#", "\x00", "\ufeff", '"', "'"),
    *("a.b.c = 1", "[[x.y]]", "nan,nan,nan,nan,nan,nan", "1760000000000,1,1,1,1,1", "timestamp,open,high,low,close"),
    *('"open', "id = 'x'", "  ", "\r", "\x1a", "\u2028", "timestamp,timestamp", "x" * 150_000),
)
DOCUMENTS = (
    *(b"", b" ", b"\n", b"\r\n" * 50, b"\x00", b"\x00" * 4096, b"\xff\xfe", b"\xef\xbb\xbf", b"\xff" * 64),
    *(b"[" * 100_000, b'{"a":' * 20_000, b"a = " + b"[" * 20_000, b"a = {b=" * 5_000, b"{}", b"[]", b"null", b'"x"'),
    *(b"PK\x03\x04" + b"\x00" * 60, b"PK\x05\x06" + b"\x00" * 18, b"PAR1PAR1", b"ARROW1\x00\x00ARROW1", b"\x93NUMPY"),
    *(b"<!DOCTYPE html><html></html>", b"%PDF-1.7", b"\x1f\x8b\x08\x00", b"import os\n", b"-" * 10_000, b"1" * 10_000),
    *(b"a." * 20_000 + b"b = 1", b"a = 1\n" * 3, b"# only a comment\n", b"\x80\x04\x95.", b"cos\nsystem\n(S'x'\ntR."),
)

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_STRING = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:\d\d)?)?")
_VALUE = re.compile(r"(?<==)[^=\n]+|(?<=: )[^\n]+|(?<=,)[^,\n]+")

Text = Callable[[str, Random], str]


def _swap(pattern: re.Pattern[str], pool: tuple[str, ...], quoted: bool = False) -> Text:
    def change(text: str, random: Random) -> str:
        places = list(pattern.finditer(text))
        if not places:
            return text + random.choice(pool)
        place = random.choice(places)
        chosen = random.choice(pool)
        if quoted:
            mark = place[0][0]
            chosen = mark + (chosen.replace(mark, "") if random.random() < 0.8 else chosen) + mark
        return text[: place.start()] + chosen + text[place.end() :]

    return change


def _lines(text: str, random: Random) -> str:
    lines = text.split("\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    deed = random.randrange(5)
    if deed == 0:
        lines.insert(other, lines[one])
    elif deed == 1:
        del lines[one]
    elif deed == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif deed == 3:
        lines.insert(one, random.choice(LINES))
    else:
        lines[one] = random.choice(LINES)
    return "\n".join(lines)


def _cut(text: str, random: Random) -> str:
    first, last = sorted(random.randrange(len(text) + 1) for _ in range(2))
    return random.choice((text[:first], text[first:], text[:first] + text[last:], text[:last] + text[first:]))


def _letter(text: str, random: Random) -> str:
    place = random.randrange(len(text) + 1)
    letter = random.choice(" \t\n\r,.;:=[]{}()'\"\\/-+*#0919aZ\x00\x7f\u202e\u00a0é٣")
    return text[:place] + letter + text[place + random.randrange(2) :]


TEXT_CHANGES: tuple[Text, ...] = (
    _swap(_NUMBER, NUMBERS),
    _swap(_STRING, TEXTS, quoted=True),
    _swap(_DATE, DATES),
    _swap(_VALUE, (*VALUES, *NUMBERS, *TEXTS)),
    _swap(re.compile(r"\w+"), (*TEXTS, *NUMBERS)),
    _lines,
    _cut,
    _letter,
)


def mutated_text(text: str, random: Random) -> str:
    """The text with one to three hostile changes."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        text = random.choice(TEXT_CHANGES)(text, random)
    return text


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """The bytes with some flipped, cut, doubled or put in."""
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        place = random.randrange(len(content) + 1)
        deed = random.randrange(5)
        if deed == 0 and place < len(content):
            content[place] ^= 1 << random.randrange(8)
        elif deed == 1:
            content[place : place + random.randrange(9)] = random.randbytes(random.randrange(9))
        elif deed == 2:
            del content[place : place + random.randrange(200)]
        elif deed == 3:
            content[place:place] = content[place : place + random.randrange(200)]
        else:
            content[place : place + 8] = random.choice((b"\x00", b"\xff", b"\x7f")) * 8
    return bytes(content)


def encoded(text: str, random: Random) -> bytes:
    """The text as UTF-8, and now and then as something that is not, or with other line ends."""
    data = text.encode("utf-8", "surrogatepass")
    deed = random.randrange(24)
    if deed == 0:
        return text.encode(random.choice(("utf-16", "utf-16-le", "utf-32", "utf-7")), "replace")
    if deed == 1:
        return text.encode("latin-1", "replace") + b"\xe9"
    if deed == 2:
        return b"\xef\xbb\xbf" * random.randrange(1, 3) + data
    if deed == 3:
        return data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b"\x00\n")))
    return data


def mutated(seed: bytes, random: Random) -> bytes:
    """A hostile variation of a valid document, text or binary; now and then the document itself."""
    deed = random.random()
    if deed < 0.03:
        return random.choice(DOCUMENTS)
    if deed > 0.97:
        return seed
    try:
        text = seed.decode()
    except UnicodeDecodeError:
        return mutated_bytes(seed, random)
    return mutated_bytes(seed, random) if deed < 0.12 else encoded(mutated_text(text, random), random)
