"""The page, from facts made by hand."""

from dataclasses import replace

from mmdet_lcp.coverage import TrialFacts, support_page
from mmdet_lcp.coverage.criteria import CriterionFacts

GOOD = TrialFacts(
    name='Good',
    config='good.py',
    size=64,
    groups=8,
    pruned={'single': 4, 'coupled + shared': 1},
    obstacles={'no layer reads its channels': ['a', 'b', 'c']},
    params=[2_000_000, 510_000, 130_000],
    criteria={
        'L1': CriterionFacts(2),
        'LCP': CriterionFacts(2, alone={'it is no convolution': ['d']}),
        'ThiNet': CriterionFacts(3, narrow=1, left_out={'d is odd': ['d', 'e']}),
        'LCP, exact': CriterionFacts(3, narrow=1),
    },
    macs={'dense': 1000, 'backbone': 912, 'all': 300},
    differences={
        'masked': 3e-16, 'loss': 1e-7, 'reloaded': 0.0, 'again': 2e-16, 'again reloaded': 4e-16,
        'exported': 6e-7,
    },
    single=['loss'],
    chosen=['exported'],
    default=0.312,
    holds='most of what is left lies in conv: 0.5 (no layer reads its channels)',
    loss=1.5,
    predicted=0,
    exported=5_700_000,
    seconds={'traced': 3.0, 'criteria': 90.0, 'pruned': 1.4},
)  # fmt: skip
BAD = TrialFacts(
    name='Bad',
    config='bad.py',
    size=32,
    groups=5,
    pruned={'single': 5},
    params=[1_000_000],
    criteria={'L1': CriterionFacts(1, failures={'conv': 'not finite'})},
    differences={'masked': 0.5},
    exported='fails: no such operator',
    failures={'pruned': 'the outputs differ by 5e-01'},
)
LOST = TrialFacts(name='Lost', config='lost.py', size=32, failures={'traced': 'no such config'})
PAGE = support_page([GOOD, BAD, LOST])


def rows(title: str) -> dict[str, list[str]]:
    """The cells of the table with this second heading, by detector."""
    blocks = [block.splitlines() for block in PAGE.split('\n\n') if block.startswith('| detector')]
    cells = [[[cell.strip() for cell in line.split('|')[1:-1]] for line in b] for b in blocks]
    (table,) = [each for each in cells if each[0][1] == title]
    assert len({len(row) for row in table}) == 1
    return {row[0]: row[1:] for row in [table[0], *table[2:]]}


def section(name: str) -> list[str]:
    return PAGE.partition(f'### {name}\n')[2].partition('\n### ')[0].split('\n- ')[1:]


def test_first_table():
    table = rows('groups')
    assert table['Good'] == [
        '5 of 8', '2.00 M → 510.00 k', '8.8%', '70.0%', '31.2%', 'yes, 3e-16',
        'yes, 1e-07 single', 'yes, 0', 'yes', 'yes, 4e-16', 'yes, 5.7 MB, 6e-07 chosen', '4',
    ]  # fmt: skip
    assert table['Bad'] == ['5 of 5', '1.00 M', *['fails'] * 2, 'not tested', *['fails'] * 6, '0']
    assert table['Lost'] == [*['fails'] * 11, '0']


def test_second_table():
    table = rows('L1')
    assert table['detector'] == ['L1', 'LCP', 'ThiNet', 'LCP, exact']
    assert table['Good'] == ['all', 'all', '3 of 5', 'all']
    assert table['Bad'] == ['fails', *['not tried'] * 3]
    assert 'Lost' not in table  # no criterion has been tried with it


def test_reasons():
    assert [line.strip() for line in section('Good')] == [
        '5 groups pruned: 4 single, 1 coupled + shared',
        'the default takes 31.2% of the MACs at most: most of what is left lies in conv: 0.5 (no '
        'layer reads its channels)',
        '3 groups left alone, "no layer reads its channels": `a`, `b`, `c`',
        'the criteria are tried on 2 makes of groups',
        '**LCP**: on 1 group without what trains along, "it is no convolution": `d`',
        '**ThiNet**, **LCP, exact**: wide layers, 1 of 3 makes, tried with fewer channels, '
        'which is faster',
        '**ThiNet**: not on 2 groups, "d is odd": `d`, `e`',
    ]
    bad = '\n'.join(section('Bad'))
    assert '**pruned fails**: the outputs differ by 5e-01' in bad
    assert '**L1**: **fails** on conv, "not finite"' in bad
    assert 'export fails: no such operator' in bad
    assert '**traced fails**: no such config' in '\n'.join(section('Lost'))


def test_long_lists_of_names_are_cut():
    facts = TrialFacts('D', 'd.py', 64, 5, obstacles={'outputs': list('abcde')})
    assert '5 groups left alone, "outputs": `a`, `b`, `c` and 2 more' in support_page([facts])


def test_what_fails_is_listed_beneath_the_table():
    listed = PAGE.partition('## What does not work\n')[2].partition('\n## ')[0].strip()
    assert listed.splitlines() == [
        '- Bad, pruned: the outputs differ by 5e-01',
        '- Lost, traced: no such config',
    ]
    assert '## What does not work' not in support_page([GOOD])


def test_the_zoo_has_a_table_of_its_own():
    config = 'mmdet::atss/atss_r18_fpn_8xb8-amp-lsj-200e_coco.py'
    page = support_page([replace(GOOD, name='ATSS R18', config=config), BAD])
    zoo, _, others = page.partition("## mmdet's zoo")[2].partition('## Other detectors')
    assert '| ATSS R18 ' in zoo and '| Bad ' not in zoo
    assert '1 of 1 pass every step' in zoo
    assert '`qdtrack`, `sort`, `strongsort`: tracks objects through videos' in zoo
    assert '`yolox`: not tried yet' in zoo and '`atss`, ' not in zoo
    assert '| Bad ' in others.partition('## ')[0]


def test_long_lists_of_reasons_are_cut():
    facts = TrialFacts('D', 'd.py', 64, 1, obstacles={'a; b; c; d; e': ['conv']})
    assert '1 group left alone, "a; b; c; and 2 more": `conv`' in support_page([facts])


def test_versions_are_told_once():
    made_with = {'mmdet_lcp': '0a1b', 'mmdet': '3.3.0', 'torch': '2.13.0'}
    rows = [replace(facts, made_with=made_with) for facts in (GOOD, BAD)]
    assert 'Made with mmdet 3.3.0, torch 2.13.0.\n' in support_page([*rows, LOST])
    assert 'Made with' not in PAGE


def test_words_of_others_make_no_link():
    facts = replace(BAD, exported='fails: Cast[to=7](%12)', failures={'pruned': 'a[0](b)'})
    page = support_page([facts])
    assert 'Cast[to=7] (%12)' in page and 'a[0] (b)' in page
    assert '](' not in page
