"""Amounts: in names, in headings, in order."""

import pytest

from mmdet_lcp.comparison.results.removal_amount import (
    OWN,
    amount_name,
    amount_order,
    amount_title,
    macs_amount,
)


@pytest.mark.parametrize(
    ('amount', 'name', 'title'),
    [
        (0.5, '0.5', 'ratio 0.5'),
        (OWN, 'config', "the config's own ratios"),
        (
            macs_amount(0.0796),
            'macs0.0796',
            '0.0796 of the multiply-accumulates, shared out by each method',
        ),
    ],
)
def test_words(amount, name, title):
    assert (amount_name(amount), amount_title(amount)) == (name, title)


def test_what_removes_more_comes_later_and_the_configs_own_last():
    amounts = [OWN, macs_amount(0.1), 0.75, macs_amount(0.25), 0.3]
    ordered = sorted(amounts, key=amount_order)
    assert ordered == [0.3, 0.75, 'macs0.25', 'macs0.1', 'config']
