"""Which layers stay in float: by losses and metrics that are set."""

import pytest

from mmdet_lcp.export.int8_keep import doubled, kept_by_loss, kept_by_metric

LAYERS = [str(number) for number in range(16)]
LAST = ['14', '15']


@pytest.mark.parametrize(
    ('losses', 'kept'),
    [
        ([0.95, 0.94, 0.93], 0),
        ([0.89, 0.88, 0.87], 1),
        ([0.95, 0.5, 0.45], 2),
        ([0.89, 0.79, 0.6], 4),
        ([2, 0.95, 0.85], 4),
    ],
)
def test_how_many_layers_are_worth_it(losses, kept):
    """Of 16 layers 1, 2 and 4 are tried; another tenth has to be gained."""
    names = [str(number) for number in range(16)]
    found = kept_by_loss(names, [], 1.0, lambda some: losses[(1, 2, 4).index(len(some))])
    assert found == names[:kept]


@pytest.mark.parametrize(
    ('gains', 'kept'),
    [
        ({}, []),
        ({'last': 0.2}, LAST),
        ({'0': 0.15, 'last': 0.08}, ['0']),  # the others gain too, but not a tenth more
        ({'0': 0.15, 'last': 0.2}, [*LAST, '0']),
        ({'0': 0.05, 'last': 0.3}, LAST),
    ],
)
def test_the_last_layers_are_one_step(gains, kept):
    """Gains add up; those of the last layers are had where all of them are kept."""

    def loss(some):
        own = sum(gains.get(name, 0) for name in some)
        return 1 - own - (gains.get('last', 0) if set(LAST) <= set(some) else 0)

    assert kept_by_loss(LAYERS, LAST, 1.0, loss) == kept


@pytest.mark.parametrize(
    ('metrics', 'kept'),
    [
        ([], []),  # near enough without any: nothing is tried
        ([0.4995], LAST),
        ([0.498, 0.5], [*LAST, '0']),
        ([0.498, 0.49, 0.4995], [*LAST, '0', '1']),
        ([0.49, 0.48, 0.47, 0.48], LAST),  # none is near: the best
        ([0.3, 0.2, 0.1, 0.2], []),
    ],
)
def test_as_little_as_comes_near_the_metric(metrics, kept):
    left = iter(metrics)
    without = 0.4991 if not metrics else 0.48
    assert kept_by_metric(LAYERS, LAST, without, 0.5, lambda some: next(left)) == kept
    assert not list(left)


def test_sets_grow_by_twice_up_to_a_quarter():
    assert doubled(LAYERS, []) == [LAYERS[:1], LAYERS[:2], LAYERS[:4]]
    assert doubled(LAYERS, ['0']) == [['0', '1'], ['0', '1', '2'], ['0', '1', '2', '3', '4']]
    assert doubled(['a', 'b'], []) == [['a']] and doubled(['a'], ['a']) == []
