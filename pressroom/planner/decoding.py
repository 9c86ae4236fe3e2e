"""The text of a file that a person made somewhere: UTF-8, UTF-16 or Windows-1252, told apart by decoding."""

import codecs

from pressroom.errors import BadInput

_EXPECTED = "expected text: CSV, TSV or one phrase per line in UTF-8, UTF-16 or Windows-1252"

# First bytes of what people drop by mistake. ZIP comes first: an .xlsx is one.
_BINARY = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (save the sheet as CSV)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (save the sheet as CSV)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (codecs.BOM_UTF32_LE, "UTF-32 text"),
    (codecs.BOM_UTF32_BE, "UTF-32 text"),
)
_MARKUP = ((b"<!doctype", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML document"), (b"{\\rtf", "a rich text document"))
# A file may hold a stray control character (its row is rejected); a tenth of them is no text.
_MOST_CONTROLS = 0.1
# Western European text has under a fifth of its letters outside ASCII; Cyrillic or Greek read as Windows-1252, nearly all.
_MOST_ACCENTS = 0.4
_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])


def decode(data: bytes, name: str) -> tuple[str, str]:
    """The text of `data` with "\\n" at its line ends, and the name of its encoding.

    A byte order mark decides; without one, UTF-16 shows by its NUL bytes, then UTF-8 and Windows-1252 are tried. A broken
    byte in a UTF-8 file becomes U+FFFD.
    Raises BadInput, naming the file `name`, when it is empty, binary, or in none of these encodings.
    """
    if not data:
        raise BadInput(f"{name}: the file is empty; {_EXPECTED}")
    begin = data[:99].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, kind in (*_BINARY, *_MARKUP):
        if data.startswith(magic) or begin.startswith(magic):
            raise BadInput(f"{name}: this is {kind}; {_EXPECTED}")
    for encoding, errors in _candidates(data):
        try:
            text = data.decode(encoding, errors)
        except UnicodeDecodeError:
            continue
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        if not text.strip():
            raise BadInput(f"{name}: there is nothing but blank space in the file; {_EXPECTED}")
        if _reads_as_text(text, encoding, errors):
            return text, encoding.removesuffix("-sig")
    raise BadInput(f"{name}: the file cannot be read as text; {_EXPECTED}")


def _candidates(data: bytes) -> tuple[tuple[str, str], ...]:
    """The encodings to try, each with what to do about bytes that do not fit it."""
    if data.startswith(codecs.BOM_UTF8):
        return (("utf-8-sig", "replace"),)
    if data.startswith(codecs.BOM_UTF16_LE):
        return (("utf-16-le", "strict"),)
    if data.startswith(codecs.BOM_UTF16_BE):
        return (("utf-16-be", "strict"),)
    even, odd = data[0::2].count(0), data[1::2].count(0)
    # Spaces, digits and line ends have a NUL half in UTF-16, in every script, and it is always the same half.
    if max(even, odd) * 20 > len(data) and min(even, odd) * 10 <= max(even, odd) and _ends_lines_in_pairs(data):
        return (("utf-16-le" if odd > even else "utf-16-be", "strict"),)
    # The second is UTF-8 with a few broken bytes: read as Windows-1252, every accent of the file would be wrong.
    return (("utf-8", "strict"), ("utf-8", "replace"), ("cp1252", "strict"))


def _ends_lines_in_pairs(data: bytes) -> bool:
    """True when line feeds stand as two bytes, as in UTF-16: a NUL beside each of them."""
    feeds = data.count(b"\n")
    return data.count(b"\n\0") * 2 >= feeds or data.count(b"\0\n") * 2 >= feeds


def _reads_as_text(text: str, encoding: str, errors: str) -> bool:
    controls = len(text) - len(text.translate(_CONTROLS))
    if controls > _MOST_CONTROLS * len(text):
        return False
    if encoding != "cp1252" and errors == "strict":
        return True
    accents = sum(1 for character in text if character > "\x7f")
    if errors == "replace":  # more whole characters than broken ones
        return accents > 2 * text.count("\ufffd")
    letters = sum(1 for character in text if character.isalpha())
    return accents <= _MOST_ACCENTS * max(letters, 1)
