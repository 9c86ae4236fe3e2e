"""Site files: what a person may write, and what a wrong one says."""

from pathlib import Path

import pytest

from pressroom.accounts.sites import read_sites
from pressroom.errors import BadInput

GOOD = """
slug: brew
name: Brew
domain: brew.example
field: coffee
audience: baristas
time_zone: Europe/Lisbon
"""


def written(folder: Path, text: str, name: str = "site.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_time_without_quotes_is_the_time_that_was_written(tmp_path: Path) -> None:
    """YAML 1.1 reads 10:30 as the number 630."""
    (site,) = read_sites([written(tmp_path, GOOD + "automation:\n  at: 10:30\n")])
    assert site.automation.at.isoformat() == "10:30:00"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "colour: red\n", "unknown key 'colour'"),
        (GOOD + "automation:\n  hour: 6\n", "unknown key 'automation.hour'"),
        (GOOD.replace("Europe/Lisbon", "Mars/Olympus"), "'Mars/Olympus' is no IANA time zone"),
        (GOOD.replace("Europe/Lisbon", "../etc/passwd"), "is no IANA time zone"),
        (GOOD.replace("slug: brew\n", ""), "key 'slug' is missing"),
        (GOOD.replace("slug: brew", "slug: a|b"), "slug: expected small letters and digits, with single hyphens between, not 'a|b'"),
        (GOOD + "automation:\n  ideas_per_day: many\n", "automation.ideas_per_day: expected a whole number, not 'many'"),
        (GOOD + "automation:\n  ideas_per_day: 9\n", "automation.ideas_per_day: expected 5 or less, not 9"),
        (GOOD + "sectors: trade\n", "sectors: expected a list, not 'trade'"),
        (GOOD + "platforms: [x, myspace]\n", "platforms: myspace; known are linkedin, x, instagram"),
        (GOOD + "automation:\n  at: '25:00'\n", "automation.at: expected a time of day, HH:MM, not '25:00'"),
        ("- a\n- b\n", "a site is a mapping"),
        ("a: [\n", "line 2: no valid YAML"),
        ("", "holds no site"),
    ],
)
def test_a_wrong_site_file_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_sites([written(tmp_path, text)])
    assert said in str(caught.value)
    assert str(tmp_path / "site.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_sites_with_one_slug_are_refused_with_both_files(tmp_path: Path) -> None:
    files = [written(tmp_path, GOOD, name) for name in ("one.yaml", "two.yaml")]
    with pytest.raises(BadInput, match=r"two\.yaml: slug 'brew' is already the slug of the site in .*one\.yaml"):
        read_sites(files)
