"""What the pictures of a comparison show, by matplotlib's own objects."""

import dataclasses

import pytest

from mmdet_lcp.comparison.results.comparison import CellResult, Comparison
from mmdet_lcp.comparison.results.pictures import cost_figure, draw_comparison, looks, steps_figure

KEY = 'coco/bbox_mAP'


def cell(method, ratio, seed, final, steps=True, control=False, **more) -> CellResult:
    losses = {} if control else {KEY: final - 0.1}
    measured = [('dense', {KEY: 0.6}), ('a', {KEY: 0.5 - 0.1 * seed}), ('b', {KEY: 0.4})]
    return CellResult(
        method=method,
        ratio=ratio,
        seed=seed,
        update=None if control else 'NoUpdate',
        state='finished',
        dense={} if control else {KEY: 0.6},
        selected=losses,
        final={KEY: final},
        steps=measured if steps and not control else [],
        params=100,
        macs=int(1000 * (1 - ratio)),
        dense_params=None if control else 200,
        dense_macs=None if control else 1000,
        **more,
    )


@pytest.fixture
def comparison() -> Comparison:
    cells = [
        cell('a', ratio, seed, 0.5 - 0.1 * ratio + 0.02 * seed)
        for ratio in (0.5, 0.7)
        for seed in (0, 1)
    ]
    cells += [cell('b', 0.5, 0, 0.4, steps=False)]
    cells += [cell('scratch', 0.5, 0, 0.3, control=True)]
    cells += [cell('uniform', 0.5, 0, 0.3, control=True, same_as='scratch_r0.5_s0')]
    cells += [CellResult('c', 0.5, 0, 'NoUpdate', 'failed')]
    return Comparison(cells, ['a', 'b', 'c', 'scratch', 'uniform'])


def lines_of(axes) -> dict:
    """Label -> line, of the methods alone."""
    found = {str(box.get_label()): box.lines[0] for box in axes.containers}
    assert len(found) == len(axes.containers)
    return found


def test_the_metric_against_macs(comparison):
    end, before = cost_figure(comparison).axes
    assert list(lines_of(end)) == ['a', 'b', 'scratch']  # failed and shared ones are not drawn
    assert list(lines_of(before)) == ['a', 'b']  # a control was never pruned
    x, y = lines_of(end)['a'].get_data()
    assert y == pytest.approx([0.44, 0.46])  # 0.7, then 0.5: rising MACs
    assert x == pytest.approx([300, 500], rel=0.2)
    (dense,) = [line for line in end.lines if line.get_label() == 'dense']
    assert (list(dense.get_xdata()), list(dense.get_ydata())) == ([1000], [0.6])
    assert end.get_xscale() == 'log'
    assert sorted(end.get_xticks()) == pytest.approx([300, 500, 1000])
    assert {label.get_text() for label in end.get_xticklabels()} == {'300', '500', '1 k'}


def test_costs_that_are_nearly_the_same_have_one_tick():
    cells = [cell('a', ratio, 0, 0.5) for ratio in (0.5, 0.75, 0.76)]
    end, _ = cost_figure(Comparison(cells, ['a'])).axes
    assert sorted(end.get_xticks()) == pytest.approx([250, 500, 1000])


def test_costs_that_nobody_knows():
    unknown = dataclasses.replace(cell('a', 0.5, 0, 0.5), macs=None, dense_macs=None)
    end, _ = cost_figure(Comparison([unknown], ['a'])).axes
    assert lines_of(end) == {} and list(end.get_xticks()) == []


def test_methods_at_the_same_macs_stand_side_by_side(comparison):
    end, _ = cost_figure(comparison).axes
    lines = lines_of(end)
    places = [
        lines['a'].get_xdata()[1],
        lines['b'].get_xdata()[0],
        lines['scratch'].get_xdata()[0],
    ]
    assert places == sorted(set(places))


def test_students_differ_in_colour_and_place():
    students = [
        dataclasses.replace(cell(name, 0.5, seed, 0.5, control=True), ratio='config', macs=macs)
        for name, macs in (('a', 60), ('b', 140), ('c', 140))
        for seed in (0, 1)
    ]
    (axes,) = cost_figure(Comparison(students, ['a', 'b', 'c'])).axes
    lines = lines_of(axes)
    assert len({line.get_color() for line in lines.values()}) == 3
    b, c = (float(lines[name].get_xdata()[0]) for name in 'bc')
    assert 0 < c - b < 0.1 * (140 - 60)


def test_students_that_all_cost_the_same_stand_side_by_side():
    students = [
        dataclasses.replace(cell(name, 0.5, 0, 0.5, control=True), ratio='config', macs=80)
        for name in 'ab'
    ]
    (axes,) = cost_figure(Comparison(students, ['a', 'b'])).axes
    a, b = (float(lines_of(axes)[name].get_xdata()[0]) for name in 'ab')
    assert 0.005 * 80 < b - a < 0.05 * 80
    assert axes.get_xlim() == pytest.approx((64, 96))  # so that the ticks do not tell them apart


def test_error_bars_where_there_are_several_seeds(comparison):
    end, _ = cost_figure(comparison).axes
    bars = {str(box.get_label()): box.has_yerr for box in end.containers}
    assert bars == {'a': True, 'b': False, 'scratch': False}
    (box,) = [box for box in end.containers if box.get_label() == 'a']
    low, high = box.lines[2][0].get_segments()[0][:, 1]
    assert high - low == pytest.approx(2 * 0.02 / 2**0.5)  # two values 0.02 apart


def test_one_legend_for_all_panels(comparison):
    figure = cost_figure(comparison)
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {'a', 'b', 'scratch', 'dense'}
    assert all(axes.get_legend() is None for axes in figure.axes)


def test_group_by_group(comparison):
    figure = steps_figure(comparison)
    assert [axes.get_title() for axes in figure.axes] == ['ratio 0.5', 'ratio 0.7']
    for axes in figure.axes:
        (line,) = lines_of(axes).values()
        assert list(line.get_ydata()) == pytest.approx([0.6, 0.45, 0.4])  # means over two seeds
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ['dense', 'a', 'b']


def test_nothing_was_measured_between_the_groups():
    assert steps_figure(Comparison([cell('a', 0.5, 0, 0.4, steps=False)], ['a'])) is None


def test_one_panel_without_a_measurement_before_the_retraining():
    only = cell('a', 0.5, 0, 0.4)
    only.selected = {}
    assert len(cost_figure(Comparison([only], ['a'])).axes) == 1


def test_nothing_has_finished(tmp_path):
    empty = Comparison([CellResult('a', 0.5, 0)], ['a'])
    assert cost_figure(empty) is None and steps_figure(empty) is None
    draw_comparison(empty, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files(comparison, tmp_path):
    draw_comparison(comparison, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['map_by_group.png', 'map_vs_macs.png']
    assert all(path.read_bytes().startswith(b'\x89PNG') for path in tmp_path.iterdir())


def test_looks_of_a_choice_and_of_its_updates():
    names = ['scratch', 'lcp_exact', 'l1_norm', 'dcp', 'l1_norm+exact', 'l1_norm+sgd', 'uniform']
    found = looks(names, ['scratch', 'uniform'])
    assert sorted(found) == sorted(names)
    assert len({tuple(one.items()) for one in found.values()}) == len(names)
    styles = {name: one.pop('linestyle') for name, one in found.items()}
    assert found['l1_norm'] == found['l1_norm+exact'] == found['l1_norm+sgd']
    assert [styles[f'l1_norm{update}'] for update in ('+exact', '+sgd', '')] == ['-', '--', '-.']
    assert styles['lcp_exact'] == styles['dcp'] == '-'
    assert styles['scratch'] == styles['uniform'] == ':'
    assert found['scratch']['color'] == found['uniform']['color'] == '0.45'


def test_looks_of_many_choices_differ():
    found = looks([f'{number}{update}' for number in range(40) for update in ('', '+exact')])
    assert len({tuple(one.items()) for one in found.values()}) == 80
