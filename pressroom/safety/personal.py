"""Finds personal data in a text, by patterns that are checked further: a card number by its check digit, an IBAN by its checksum."""

import ipaddress
import re
from collections.abc import Callable, Iterator

from pressroom.safety.terms import Match

CODE = "PII.ONSCREEN"

_EMAIL = re.compile(
    r"(?<![\w.+@-])[A-Za-z0-9](?:[\w.+-]{0,62}[\w+-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,5}[A-Za-z]{2,24}(?![\w@-])"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.,+-])(?<![\d] )[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|[.,]\d| \d)")
_PHONE = re.compile(
    r"(?<![\w.,+-])(?<!\d )(?:\+[1-9](?:[ ().-]{0,2}\d){7,14}"  # with the country's code
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([.-])\d{3}\1\d{4}"  # as in North America
    r"|0\d{2,4}[ /]\d{3,4}[ ]?\d{3,4})(?![\w-]|[., ]\d)"  # with the area's 0
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])", re.IGNORECASE)
# A number and a street are in many a sentence; with a postal code after them they are an address.
_STREET = re.compile(
    r"(?<![\w.,])\d{1,5}[A-Za-z]?,? (?:[A-Z][A-Za-z'’]*\.? ){1,4}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Terrace|Place|Pl|Way)\b\.?"
    r"[^\n]{0,40}?\b(?:[A-Z]{2} \d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})\b"
    r"|\b[A-ZÄÖÜ][a-zäöüß]+(?:straße|strasse|weg|platz|allee|gasse) \d{1,4}[a-z]?,? \d{5} [A-ZÄÖÜ][a-zäöüß]+"
)
_ASSIGNED = ipaddress.ip_network("2000::/3")  # all that is routed; "1::2" in a text is something else
# Characters of an IBAN by country (SWIFT IBAN registry, release 99).
_IBAN_LENGTH = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL", "19": "MK SI", "20": "AT BA EE KZ LT LU XK", "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST",
        "26": "IS TR", "27": "BY FR GR IT MC MR SM", "28": "AL AZ CY DO GT HU LB PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU",
        "31": "MT SC",
    }.items()
    for country in countries.split()
}  # fmt: skip


def find_personal_data(text: str) -> list[Match]:
    """E-mail addresses, phone and card numbers, IBANs, public IP addresses and street addresses in `text`, by place.

    Their labels are pii.email, pii.phone, pii.card, pii.iban, pii.ip and pii.address. What is found in one of them is no second one.
    """
    taken: list[tuple[int, int]] = []
    found: list[Match] = []
    for label, score, spans in _KINDS:
        for start, end in spans(text):
            if not any(start < last and first < end for first, last in taken):
                taken.append((start, end))
                found.append(Match(start, end, text[start:end], label, CODE, label, score, ""))
    return sorted(found, key=lambda match: match.start)


def masked(found: str) -> str:
    """Personal data as a report may show it: its first character, and what parts it."""
    return found[:1] + "".join("•" if character.isalnum() else character for character in found[1:])


def is_card_number(digits: str) -> bool:
    """Whether its last digit is right by Luhn's rule (ISO/IEC 7812-1), and it is not one digit over and over."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_iban(written: str) -> bool:
    """Whether it has its country's length and a right checksum (ISO 13616, 97-10)."""
    compact = re.sub(r"[ -]", "", written).upper()
    if _IBAN_LENGTH.get(compact[:2]) != len(compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _spans(pattern: re.Pattern[str], holds: Callable[[str], bool] = bool) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: (found.span() for found in pattern.finditer(text) if holds(found.group()))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        # The pattern runs on into the next word: the country says where the number ends.
        length, end = _IBAN_LENGTH.get(found.group()[:2].upper(), 0), found.start()
        for _ in range(length):
            while end < found.end() and text[end] in " -":
                end += 1
            end += 1
        if length and end <= found.end() and not text[end : end + 1].isalnum() and is_iban(text[found.start() : end]):
            yield found.start(), end


def _card(found: str) -> bool:
    digits = re.sub(r"\D", "", found)
    return len(digits) <= 19 and is_card_number(digits)


def _phone(found: str) -> bool:
    return 8 <= sum(character.isdigit() for character in found) <= 15


def _public(found: str) -> bool:
    try:
        address = ipaddress.ip_address(found)
        return address.is_global and (address.version == 4 or address in _ASSIGNED)
    except ValueError:
        return False


# The surest first: what they find is no phone number.
_KINDS = (
    ("pii.email", 0.95, _spans(_EMAIL)),
    ("pii.iban", 0.99, _ibans),
    ("pii.card", 0.95, _spans(_CARD, _card)),
    ("pii.ip", 0.6, _spans(_IPV4, _public)),
    ("pii.ip", 0.6, _spans(_IPV6, _public)),
    ("pii.phone", 0.75, _spans(_PHONE, _phone)),
    ("pii.address", 0.7, _spans(_STREET)),
)
LABELS = tuple(dict.fromkeys(label for label, _, _ in _KINDS))
