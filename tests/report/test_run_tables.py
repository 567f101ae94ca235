"""Rows and words of a report's tables, worked out by hand."""

from made_reports import report

from mmdet_lcp.report import run_tables
from mmdet_lcp.report.facts import DetectorFacts, GroupFacts, StepFacts, WeightFacts


def test_summary():
    headers, rows = run_tables.summary_table(report())
    assert headers == ['', 'dense', 'compressed', 'change']
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name['pascal_voc/mAP'] == ['0.836', '0.824', '-0.012']
    assert by_name['parameters'] == ['24.00 M', '6.00 M', '-75.0 %']
    assert by_name['MACs'] == ['30.50 G', '7.65 G', '-74.9 %']
    assert by_name['latency'] == ['410.2 ms', '140.0 ms', '-65.9 %']
    assert rows[-1][0] == 'file size'  # behind the latency


def test_summary_of_a_run_that_was_measured_before_retraining():
    headers, rows = run_tables.summary_table(report(pruned_metrics={'pascal_voc/mAP': 0.7}))
    assert headers == ['', 'dense', 'before retraining', 'compressed', 'change']
    by_name = {row[0]: row for row in rows}
    assert by_name['pascal_voc/mAP'][2] == '0.700'
    assert by_name['pascal_voc/AP50'][2] == 'n/a' and by_name['parameters'][2] == ''
    assert {len(row) for row in rows} == {5}


def test_what_was_not_measured_has_no_row():
    bare = DetectorFacts({}, 10, 20)
    _, rows = run_tables.summary_table(report(dense=bare, compressed=bare))
    assert [row[0] for row in rows] == ['parameters', 'MACs']


def test_latency_with_its_rounds():
    dense = DetectorFacts({}, 10, 20, latency_ms=100.0, latency_range_ms=[100.0, 130.04])
    pruned = DetectorFacts({}, 5, 10, latency_ms=50.0)
    _, rows = run_tables.summary_table(report(dense=dense, compressed=pruned))
    (row,) = (row for row in rows if row[0] == 'latency')
    assert row == ['latency', '100.0 ms (100.0 to 130.0)', '50.0 ms', '-50.0 %']


def test_groups():
    _, rows = run_tables.group_table(report())
    assert rows == [['backbone.features.0', 64, 32, 32, '-50.0 %', '4.2 s']]


def test_shares_of_the_loss_terms():
    groups = [
        GroupFacts('a', 8, 4, 4, 1.0, {'share_one': 0.25, 'share_two': 0.75, 'cost': 3.0}),
        GroupFacts('b', 8, 4, 4, 1.0),
        GroupFacts('c', 8, 4, 4, 1.0, {'share_one': 1.0}),
    ]
    headers, rows = run_tables.share_table(report(groups=groups))
    assert headers == ['group', 'one', 'two']
    assert rows == [['a', '25.0%', '75.0%'], ['c', '100.0%', '0.0%']]


def test_weights_by_what_was_done_to_them():
    weights = [
        WeightFacts('a', 'shared', 1000, 250, 4000, 500),
        WeightFacts('rest', '', 10, 10, 40, 40),
        WeightFacts('b', 'shared', 1000, 750, 4000, 1000),
    ]
    packed = DetectorFacts({}, 10, 20, file_bytes=1740)
    _, rows = run_tables.scheme_table(report(weights=weights, compressed=packed))
    shared, rest, every, index = rows
    # of 2000 values 1000 are not zero; 8 * 1500 / 2000 bits each
    assert shared == ['shared', 2, '2.00 k', '50.0%', '8.0 kB', '1.5 kB', '6.00']
    assert rest[:2] == ['everything else', 1] and every[:2] == ['all tensors', 3]
    assert index == ['config, names, index', '', '', '', '', '200 B', '']
    _, rows = run_tables.weight_table(report(weights=weights))
    assert [row[0] for row in rows] == ['a', 'b']  # what was left as it was is not listed


def test_the_metric_after_each_step():
    steps = [StepFacts('dense', None, {'mAP': 0.8}), StepFacts('selected', 'a', {'mAP': 0.75})]
    # an evaluator that tells nothing has found nothing
    steps += [StepFacts('finetuned', 'a', {}), StepFacts('final', None, {'mAP': 0.81})]
    headers, rows = run_tables.step_table(report(steps=steps))
    assert headers == ['step', 'mAP', 'change']
    assert [row[1:] for row in rows] == [
        ['0.800', '+0.000'],
        ['0.750', '-0.050'],
        ['0.000', '-0.800'],
        ['0.810', '+0.010'],
    ]


def test_circumstances():
    machine = dict(cpu='Chip 9', cores=2, threads=1, gpus=[])
    versions = {'torch': '2', 'gone': None}
    text = run_tables.circumstances(report(hardware=machine, versions=versions))
    assert text == ('Seed 3; 1 h 02 min on Chip 9, 2 cores, 1 threads, no GPU; torch 2, gone n/a.')
