"""The page of a chain."""

import pytest
from html_pages import Page

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.report.chain_page import is_chain, write_chain_page
from mmdet_lcp.report.chain_report import ChainReport, LinkFacts, write_chain_report
from mmdet_lcp.report.facts import DetectorFacts


def chain() -> ChainReport:
    sizes = (10_000_000, 4_000_000, 500_000)
    facts = [DetectorFacts({'coco/bbox_mAP': 0.5}, 10, 20, file_bytes=size) for size in sizes]
    return ChainReport(
        [
            LinkFacts('dense', facts[0]),
            LinkFacts('1_pruning', facts[1], '1_pruning', 'LCP <exact>', 60.0),
            LinkFacts('2_mimic', facts[2], '2_mimic', '2_mimic', 60.0),
        ]
    )


def test_links_with_their_pages(tmp_path):
    write_chain_report(chain(), tmp_path)
    (tmp_path / '1_pruning').mkdir()
    (tmp_path / '1_pruning' / 'report.html').write_text('')
    page = Page(write_chain_page(tmp_path))
    assert [a for a in page.addresses if 'data:' not in a] == ['1_pruning/report.html']
    for words in ('LCP <exact>', '10.0 MB', '20.0 times smaller', '2.5x'):
        assert words in page.text
    assert page.tags.count('svg') == 2 and 'has not ended' not in page.text


def test_one_that_was_stopped(tmp_path):
    assert not is_chain(tmp_path)
    links = chain().to_dict()['links'][:2]
    write_json(tmp_path / 'chain_state.json', dict(links=links, ended=[{}]))
    assert is_chain(tmp_path)
    page = Page(write_chain_page(tmp_path))
    assert 'has not ended: 1 link of it so far' in page.text and '4.0 MB' in page.text


def test_nothing_there(tmp_path):
    with pytest.raises(CompressionError, match='holds no chain'):
        write_chain_page(tmp_path)
    write_json(tmp_path / 'chain_state.json', dict(links=[3]))
    with pytest.raises(CompressionError, match=r'chain_state.json: this is no report'):
        write_chain_page(tmp_path)
