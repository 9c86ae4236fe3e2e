"""Personal data is found by patterns that are checked, so that an order number is no card."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.safety.personal import find_personal_data, is_card_number, is_iban, masked


def found(text: str) -> list[tuple[str, str]]:
    return [(one.label.removeprefix("pii."), one.text) for one in find_personal_data(text)]


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("email", "jo.bloggs+news@mail.example.co.uk"),
        ("card", "4111 1111 1111 1111"),
        ("card", "5500-0000-0000-0004"),
        ("card", "378282246310005"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "GB82WEST12345698765432"),
        ("phone", "+49 170 1234567"),
        ("phone", "(555) 123-4567"),
        ("phone", "555-123-4567"),
        ("ip", "8.8.8.8"),
        ("ip", "2001:4860:4860::8888"),
        ("address", "1600 Pennsylvania Avenue NW, Washington, DC 20500"),
        ("address", "221B Baker Street, London NW1 6XE"),
        ("address", "Hauptstraße 12, 10827 Berlin"),
    ],
)
def test_each_kind_is_found_in_a_sentence(kind: str, written: str) -> None:
    assert found(f"Here: {written}, that is it.") == [(kind, written)]


@pytest.mark.parametrize(
    "harmless",
    [
        "4111 1111 1111 1112",  # a wrong check digit
        "0000 0000 0000 0000",
        "DE89 3704 0044 0532 0130 01",  # a wrong checksum
        "version 1.2.3.4.5 and 10.0.0.1 and 127.0.0.1",
        "at 12:30:45 on 2026-11-21",
        "10,000,000 views, 1.500.000 likes, 1920x1080",
        "3 Great Ways to Drive",
        "@handle and 20% off #sale",
        "Order 4111111111111111234567",
    ],
)
def test_what_only_looks_like_it_is_left_alone(harmless: str) -> None:
    assert found(harmless) == []


@given(st.integers(0, 10**15 - 1), st.integers(0, 14))
def test_one_wrong_digit_makes_a_card_number_none(body: int, place: int) -> None:
    number = next(f"{body:015}{check}" for check in range(10) if is_card_number(f"{body:015}{check}") or body == 0)
    wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
    assert not is_card_number(wrong)


@given(st.text("0123456789", min_size=18, max_size=18), st.integers(0, 17))
def test_one_wrong_digit_makes_an_iban_none(body: str, place: int) -> None:
    number = next(f"DE{check:02}{body}" for check in range(2, 99) if is_iban(f"DE{check:02}{body}"))
    at = 4 + place
    assert not is_iban(number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :])


@given(st.text())
def test_every_place_is_in_the_text(text: str) -> None:
    assert all(text[one.start : one.end] == one.text for one in find_personal_data(text))


def test_a_report_shows_it_masked() -> None:
    assert masked("4111 1111 1111 1111") == "4••• •••• •••• ••••"
    assert masked("a.b@c.de") == "a.•@•.••"


def test_long_rows_of_digits_and_dots_are_read_in_no_time() -> None:
    rng = random.Random(1)
    assert isinstance(find_personal_data("".join(rng.choice("0123456789 .-+@a") for _ in range(50_000))), list)
