import csv
import io

import pytest
from made_reports import report

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.results.run_table import by_row, find_reports, run_csv, run_table
from mmdet_lcp.files import write_json
from mmdet_lcp.report.facts import DetectorFacts

DENSE = DetectorFacts({'pascal_voc/mAP': 0.5, 'pascal_voc/AP50': 0.8}, 1000, 5000, 4000, 9.0, 4000)


def run(mean_ap: float, seed: int = 0, **changes):
    metrics = {'pascal_voc/mAP': mean_ap, 'pascal_voc/AP50': 0.7, 'pascal_voc/AP60': 0.1}
    facts = DetectorFacts(metrics, 1000, 5000, 4000, 8.0, 400)
    return report(dense=DENSE, compressed=facts, seed=seed, **changes)


def test_runs_that_differ_in_the_seed_make_a_row():
    reports = {'one_bit_s0': run(0.4), 'one_bit_s1': run(0.43), 'a/s3': run(0.1), '7': run(0.2)}
    rows = by_row(reports)
    assert {name: len(runs) for name, runs in rows.items()} == {'one_bit': 2, 'a': 1, '7': 1}


def test_names_without_their_seed():
    names = ['x_s0', 'x-s12', 'x_seed3', 'x_seed_4', 'x', 'bits2', 'classes1']
    rows = by_row({name: run(0.1) for name in names})
    assert {name: len(runs) for name, runs in rows.items()} == {'x': 5, 'bits2': 1, 'classes1': 1}


def test_mean_deviation_and_factor():
    headers, rows = run_table({'one_s0': run(0.40), 'one_s1': run(0.44), 'two': run(0.30)})
    assert headers == ['run', 'seeds', 'mAP', 'AP50', 'parameters', 'MACs', 'file']
    assert rows[0] == ['dense', '', '0.500', '0.800', '1.00 k', '5.00 k', '4.0 kB']
    # mean of 0.40 and 0.44; their deviation with n - 1 is 0.04 / sqrt(2)
    assert rows[1][:4] == ['one', '2', '0.420 ± 0.028', '0.700 ± 0.000']
    assert rows[1][-1] == '400 B (10.0x)'
    assert rows[2][:3] == ['two', '1', '0.300']
    assert len(rows) == 3


def test_another_dense_detector_has_its_own_row():
    other = DetectorFacts({'pascal_voc/mAP': 0.6}, 2000, 6000, 4000, 9.0, 8000)
    rows = run_table({'one': run(0.4), 'two': report(dense=other)})[1]
    assert [row[0] for row in rows] == ['dense', 'one', 'dense, of two', 'two']
    assert rows[2][2] == '0.600'


def test_runs_on_different_data_share_the_columns():
    coco = DetectorFacts(
        {'coco/bbox_mAP': 0.3, 'coco/bbox_mAP_50': 0.6}, 1000, 5000, 4000, 8.0, 400
    )
    headers, rows = run_table({'voc': run(0.4), 'coco': report(dense=coco, compressed=coco)})
    assert headers[:4] == ['run', 'seeds', 'mAP', 'AP50']
    assert [row[2] for row in rows] == ['0.500', '0.400', '0.300', '0.300']
    assert [row[3] for row in rows] == ['0.800', '0.700', '0.600', '0.600']


def test_csv():
    rows = list(csv.DictReader(io.StringIO(run_csv({'a': run(0.4, 3), 'b': run(0.5)}))))
    assert [row['run'] for row in rows] == ['a', 'b']
    assert (rows[0]['seed'], rows[0]['compressed pascal_voc/mAP']) == ('3', '0.4')
    assert rows[0]['dense pascal_voc/mAP'] == '0.5' and rows[0]['dense pascal_voc/AP60'] == ''
    assert rows[1]['compressed file_bytes'] == '400'


def test_where_reports_are_found(tmp_path):
    for name in ('all/b_s0', 'all/a_s0', 'alone'):
        write_json(tmp_path / name / 'report.json', run(0.4).to_dict())
    (tmp_path / 'all' / 'not_ended').mkdir()
    found = find_reports([tmp_path / 'alone', tmp_path / 'all'])
    assert list(found) == ['alone', 'a_s0', 'b_s0']
    with pytest.raises(CompressionError, match='have ended'):
        find_reports([tmp_path / 'all' / 'not_ended'])


def test_runs_that_find_nothing_count_as_zero():
    """An evaluator may tell nothing of them: the columns stay, and the mean is over all."""
    blind = DetectorFacts({}, 1000, 5000, 4000, 8.0, 400)
    reports = {'a_s0': run(0.4), 'a_s1': report(dense=DENSE, compressed=blind)}
    headers, rows = run_table(reports)
    assert headers[2:4] == ['mAP', 'AP50']
    assert rows[0][2:4] == ['0.500', '0.800'] and rows[1][1:3] == ['2', '0.200 ± 0.283']
    headers, rows = run_table({'b': report(dense=DENSE, compressed=DetectorFacts({}))})
    assert rows[1][2:4] == ['0.000', '0.000']
