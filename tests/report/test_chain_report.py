"""The report of a chain: its factor, its table by hand, and the way to the file and back."""

import json

import numpy as np
import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.report.chain_report import (
    ChainReport,
    LinkFacts,
    chain_text,
    read_chain_report,
    write_chain_report,
)
from mmdet_lcp.report.facts import DetectorFacts

METRICS = {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_50': 0.8, 'coco/bbox_mAP_75': 0.4}


def facts(metrics, file_bytes=None, params=50, macs=300) -> DetectorFacts:
    return DetectorFacts(metrics, params, macs, None, None, file_bytes)


@pytest.fixture
def report() -> ChainReport:
    """From 4 MB to 80 kB; what the second link was good for was not measured."""
    return ChainReport(
        [
            LinkFacts('dense', facts(METRICS, 4_000_000, 100, 1000)),
            LinkFacts('1_pruning', facts(METRICS, 1_000_000), '1_pruning', 'LCP', 60.0),
            LinkFacts('2_x', facts({}, 80_000), '2_x', 'X'),
        ]
    )


def sizes(*found) -> ChainReport:
    return ChainReport([LinkFacts(str(i), facts({}, size)) for i, size in enumerate(found)])


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table, the rules left out."""
    lines = [line for line in text.splitlines() if line.startswith('| ') and '| :' not in line]
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]


SHOWN = ['coco/bbox_mAP', 'coco/bbox_mAP_50']
ROWS = [
    ['after', *SHOWN, 'parameters', 'MACs', 'bytes', 'factor', 'time'],
    ['dense', '0.500', '0.800', '100', '1.00 k', '4.0 MB', '1.0x', 'n/a'],
    ['1_pruning', '0.500', '0.800', '50', '300', '1.0 MB', '4.0x', '1 min 00 s'],
    ['2_x', 'n/a', 'n/a', '50', '300', '80.0 kB', '50.0x', 'n/a'],
]


class TestFactor:
    def test_is_that_of_all_links(self, report):
        assert report.factor == 50
        assert sizes(10, 40, 4).factor == 2.5

    @pytest.mark.parametrize('found', [(), (None, 4), (8, None), (0, 4), (8, 0)])
    def test_is_not_known(self, found):
        assert sizes(*found).factor is None

    def test_what_is_between_does_not_matter(self):
        assert sizes(8, None, 4).factor == 2


class TestPage:
    def test_whole(self, report, tmp_path):
        write_chain_report(report, tmp_path)
        title, table, words, folders = (
            (tmp_path / 'chain_report.md').read_text().rstrip('\n').split('\n\n')
        )
        assert title == '# Chain'
        assert rows_of(table) == ROWS
        assert words == 'In all: 4.0 MB -> 80.0 kB, 50.0 times smaller.'
        assert folders.splitlines() == [
            '- LCP: [1_pruning](1_pruning)',
            '- X: [2_x](2_x)',
        ]

    def test_sizes_that_are_not_known(self, tmp_path):
        """No sentence about them, and no empty paragraph in its place."""
        write_chain_report(sizes(None, 4), tmp_path)
        page = (tmp_path / 'chain_report.md').read_text()
        assert 'In all' not in page and '\n\n\n' not in page
        assert [row[3:5] for row in rows_of(page)[1:]] == [['n/a', 'n/a'], ['4 B', 'n/a']]

    def test_a_link_whose_method_is_not_known(self, tmp_path):
        link = LinkFacts('2_x', facts({}), '2_x')
        write_chain_report(ChainReport([link]), tmp_path)
        assert (tmp_path / 'chain_report.md').read_text().endswith('- 2_x: [2_x](2_x)\n')


class TestPrinted:
    def test_whole(self, report):
        *table, words = chain_text(report).splitlines()
        assert table[0].startswith('+chain-')
        assert rows_of('\n'.join(table)) == ROWS
        assert words == 'In all: 4.0 MB -> 80.0 kB, 50.0 times smaller.'

    def test_without_a_link(self):
        text = chain_text(ChainReport())
        assert rows_of(text) == [['after', 'parameters', 'MACs', 'bytes', 'factor', 'time']]
        assert 'In all' not in text

    @pytest.mark.parametrize(
        ('metrics', 'shown'),
        [
            ({'coco/bbox_mAP_75': 0.3, **METRICS}, SHOWN),
            ({'coco/segm_mAP_50': 0.7, **METRICS}, SHOWN),
            ({'pascal_voc/AP50': 0.8}, ['pascal_voc/AP50']),
            ({'pascal_voc/mAP': 0.5}, ['pascal_voc/mAP']),
            ({'x/recall': 0.9, 'x/precision': 0.7}, ['x/recall']),
            ({'x/name': 'good'}, []),
            ({}, []),
        ],
    )
    def test_the_main_metric_and_that_at_half(self, metrics, shown):
        header, row = rows_of(chain_text(ChainReport([LinkFacts('dense', facts(metrics))])))
        assert header[1:-5] == shown
        assert row[1:-5] == [f'{metrics[key]:.3f}' for key in shown]

    def test_metrics_of_the_first_link_that_has_some(self):
        links = [LinkFacts('dense', facts({})), LinkFacts('1', facts({'voc/AP50': 0.8}))]
        assert [row[1] for row in rows_of(chain_text(ChainReport(links)))] == [
            'voc/AP50',
            'n/a',
            '0.800',
        ]


class TestFile:
    def test_comes_back(self, report, tmp_path):
        write_chain_report(report, tmp_path / 'made')
        assert read_chain_report(tmp_path / 'made' / 'chain_report.json') == report

    def test_plain_data(self, report, tmp_path):
        report.links[0].detector.metrics = {'voc/AP50': np.float32(0.5)}
        write_chain_report(report, tmp_path)
        data = json.loads((tmp_path / 'chain_report.json').read_text())
        assert list(data) == ['links', 'factor'] and data['factor'] == 50
        assert data['links'][0] == dict(
            name='dense',
            detector=dict(
                metrics={'voc/AP50': 0.5},
                params=100,
                macs=1000,
                backbone_macs=None,
                latency_ms=None,
                file_bytes=4_000_000,
                latency_range_ms=None,
                evaluated=True,
            ),
            folder=None,
            method=None,
            seconds=None,
        )

    @pytest.mark.parametrize(
        'text',
        [
            '{}',
            '[]',
            '{"links": null}',
            '{"links": ["dense"]}',
            '{"links": [{"name": 3}]}',
            '{"links": [{"name": "dense", "detector": null}]}',
            '{"links": [{"name": "dense", "detector": {"size": 3}}]}',
            '{"links": [{"detector": {}}]}',
            '{"links": [{"name": "dense", "detector": {}, "size": 3}]}',
        ],
    )
    def test_another_file(self, tmp_path, text):
        path = tmp_path / 'chain_report.json'
        path.write_text(text)
        with pytest.raises(CompressionError, match=r'chain_report\.json: this is no report of a'):
            read_chain_report(path)

    @pytest.mark.parametrize('content', [b'', b'{"links": [', b'\xff\xfe'])
    def test_no_json(self, tmp_path, content):
        path = tmp_path / 'chain_report.json'
        path.write_bytes(content)
        with pytest.raises(CompressionError, match=r'chain_report\.json: '):
            read_chain_report(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(CompressionError, match=r'chain_report\.json: .*No such file'):
            read_chain_report(tmp_path / 'nothing' / 'chain_report.json')
