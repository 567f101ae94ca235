"""The `chain` key by itself: what is read of it, and what is said of mistakes.

Chains are run in test_chain.py.
"""

import pytest
from mmengine.config import Config

from mmdet_lcp import CompressionError
from mmdet_lcp.chain.links import KINDS, Link, named, read_chain
from mmdet_lcp.distillation.runner import MimicRunner
from mmdet_lcp.pruning.runner import PruningRunner
from mmdet_lcp.weight_compression import WeightCompressionRunner

PRUNING, SHARING, MIMIC = 'PruningRunner', 'WeightCompressionRunner', 'MimicRunner'


def facts(chain) -> list[tuple]:
    return [
        (link.number, link.kind.runner, link.key, link.name, link.changes)
        for link in read_chain(dict(chain=chain))
    ]


@pytest.mark.parametrize('kind', [list, tuple])
def test_names_alone(kind):
    """With the package's name before them or without."""
    found = facts(kind([PRUNING, f'mmdet_lcp.{MIMIC}', dict(type=SHARING)]))
    assert found == [
        (1, PruningRunner, 'pruning', '1_pruning', {}),
        (2, MimicRunner, 'mimic', '2_mimic', {}),
        (3, WeightCompressionRunner, 'weight_compression', '3_weight_compression', {}),
    ]


def test_keys_and_changes_of_ones_own():
    changes = {'train_cfg': dict(max_epochs=3), 'optim_wrapper.optimizer.lr': 0.1}
    chain = [
        dict(type=f'mmdet_lcp.{SHARING}', key='coarse', cfg=changes),
        dict(type=SHARING, key=None, cfg=None),
        dict(type=SHARING, key='fine', _scope_='mmdet_lcp'),
    ]
    assert facts(chain) == [
        (1, WeightCompressionRunner, 'coarse', '1_coarse', changes),
        (2, WeightCompressionRunner, 'weight_compression', '2_weight_compression', {}),
        (3, WeightCompressionRunner, 'fine', '3_fine', {}),
    ]


def test_the_config_is_only_read():
    cfg = Config(
        dict(chain=[dict(type=PRUNING, _scope_='mmdet_lcp', cfg=dict(train_cfg=dict(a=1)))])
    )
    before = cfg.to_dict()
    (link,) = read_chain(cfg)
    link.changes['train_cfg'] = None
    assert cfg.to_dict() == before


ONE_OF_ITS_OWN = (
    r'chain\[2\] reads the key `pruning`, as a link before it does.*'
    r"dict\(type='mmdet_lcp.PruningRunner', key='pruning_3'\)"
)


@pytest.mark.parametrize(
    ('chain', 'message'),
    [
        (None, r'the config needs `chain`, a list of runners such as .*; it has None'),
        ([], r'needs `chain`.*it has \[\]'),
        (PRUNING, r"needs `chain`.*it has 'PruningRunner'"),
        ([PRUNING, 'Pruner'], r"chain\[1\]: 'Pruner' can be no link.*'mmdet_lcp\.PruningRunner'"),
        (['mmdet_lcp.ChainRunner'], r"chain\[0\]: 'mmdet_lcp\.ChainRunner' can be no link"),
        ([f'mmdet.{PRUNING}'], r"chain\[0\]: 'mmdet\.PruningRunner' can be no link"),
        ([dict(key='pruning')], r'chain\[0\]: None can be no link.*Links: PruningRunner, Weight'),
        ([3], r'chain\[0\]: 3 can be no link'),
        ([dict(type=PRUNING, kye='a')], r"chain\[0\] has an unknown key 'kye'.*is 'key'"),
        ([PRUNING, dict(type=MIMIC, cfg=['a'])], r"chain\[1\]\.cfg=\['a'\] must be a dict of"),
        ([dict(type=PRUNING, key='model')], r"chain\[0\]\.key='model' must name.*'pruning_1'"),
        ([MIMIC, dict(type=PRUNING, key='chain')], r"chain\[1\]\.key='chain'.*'pruning_2'"),
        ([dict(type=PRUNING, key=3)], r'chain\[0\]\.key=3 must name a key of the config'),
        ([PRUNING, MIMIC, PRUNING], ONE_OF_ITS_OWN),
        ([dict(type=SHARING, key='pruning'), MIMIC, PRUNING], ONE_OF_ITS_OWN),
        ([MIMIC, dict(type=PRUNING, key='x'), dict(type=MIMIC, key='x')], r'the key `x`.*x_3'),
    ],
)
def test_mistakes(chain, message):
    with pytest.raises(CompressionError, match=message):
        read_chain({} if chain is None else dict(chain=chain))


@pytest.mark.parametrize(
    ('name', 'key', 'mistake', 'message'),
    [
        (PRUNING, 'pruning', dict(ratoi=0.5), "^pruning has an unknown key 'ratoi'"),
        (SHARING, 'weight_compression', dict(methods={}), r'^weight_compression\.methods'),
        (MIMIC, 'mimic', dict(weight=0), r'^mimic\.weight=0'),
    ],
)
def test_every_kind_reads_its_own_key(name, key, mistake, message):
    kind = KINDS[name]
    assert kind.key == key
    with pytest.raises(CompressionError, match=message):
        kind.check({key: mistake})
    with pytest.raises(CompressionError, match=f'the config has no `{key}` key, which {name}'):
        kind.check({})


def test_what_each_hands_out():
    """As the READMEs name the files; a taught detector alone comes without a report."""
    files = {name: (kind.config, kind.weights, kind.packed) for name, kind in KINDS.items()}
    assert files == {
        PRUNING: ('pruned_config.py', 'pruned.pth', None),
        SHARING: ('compressed_config.py', 'compressed.pth', 'compressed.lcp'),
        MIMIC: ('student_config.py', 'student.pth', None),
    }
    assert [kind.compares_with_start for kind in KINDS.values()] == [True, True, False]


class TestNamed:
    """Messages name the runner's key; here it is another one's settings that it read."""

    error = CompressionError('pruning.ratio=2 must lie in (0, 1)')

    @pytest.mark.parametrize(
        ('key', 'message'),
        [
            ('pruning', 'pruning.ratio=2 must lie in (0, 1)'),
            ('late', 'late, read as pruning: pruning.ratio=2 must lie in (0, 1)'),
        ],
    )
    def test_another_key_is_told(self, key, message):
        link = Link(1, KINDS[PRUNING], key, {})
        with pytest.raises(CompressionError) as found, named(link):
            raise self.error
        assert str(found.value) == message
        assert self.error in (found.value, found.value.__cause__)

    def test_other_errors_pass(self):
        link = Link(2, KINDS[PRUNING], 'late', {})
        with pytest.raises(KeyError, match='x'), named(link):
            raise KeyError('x')
