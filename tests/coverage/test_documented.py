"""docs/support.md says what its rows say, and a few rows a day say what a trial says now."""

import datetime
from pathlib import Path

import pytest

from mmdet_lcp.coverage import SupportedDetector, Trial, TrialFacts, support_page
from mmdet_lcp.coverage.rows import read_rows

DOCS = Path(__file__).parents[2] / 'docs'
AGAIN = 'tools/support_table.py --out docs/support --page docs/support.md --only'
STEPS = ('traced', 'pruned', 'counted', 'checked')
SECONDS = 4  # of processor time that these steps may have taken
ROWS = 2  # a day


def documented() -> list[TrialFacts]:
    return read_rows(DOCS / 'support')


def of_the_day(rows: list[TrialFacts], day: datetime.date) -> list[TrialFacts]:
    """The cheap rows in turn, the next ones each day."""
    cheap = [
        facts
        for facts in rows
        if not facts.failures and sum(facts.seconds[step] for step in STEPS) <= SECONDS
    ]
    first = day.toordinal() * ROWS
    return [cheap[(first + number) % len(cheap)] for number in range(ROWS)] if cheap else []


def test_the_page_is_what_the_rows_say():
    rows = documented()
    if not rows:
        pytest.skip('the page has not been written from rows yet')
    assert (DOCS / 'support.md').read_text() == support_page(rows), f'{AGAIN} NAME writes it'


def test_rows_of_the_day_still_say_what_a_trial_says():
    rows = of_the_day(documented(), datetime.datetime.now(datetime.timezone.utc).date())
    for row in rows:
        now = Trial(
            SupportedDetector(row.name, row.config, row.size), criteria=(), steps=STEPS
        ).run()
        told = f'docs/support.md no longer holds for {row.name}: {AGAIN} ... writes the row anew'
        assert now.failures == {}, told
        for name in ('groups', 'pruned', 'obstacles', 'macs', 'single'):
            assert getattr(now, name) == getattr(row, name), told
        assert now.params == row.params[:2], told


def test_every_cheap_row_has_its_day():
    rows = [
        TrialFacts(f'{number}', 'd.py', 64, seconds=dict.fromkeys(STEPS, number / 2))
        for number in range(9)
    ]
    rows.append(TrialFacts('fails', 'd.py', 64, failures={'traced': 'why'}))
    today = datetime.date(2026, 1, 1)
    days = [today + datetime.timedelta(number) for number in range(3)]
    found = [row.name for day in days for row in of_the_day(rows, day)]
    assert set(found) == {'0', '1', '2'} and len(found) == 6
    assert [row.name for row in of_the_day(rows, today)] == found[:2]
