import pytest

from mmdet_lcp.config.top_level import check_top_level
from mmdet_lcp.errors import CompressionError

PRUNING = dict(ratio=0.5)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('prunning', dict(ratio=0.7), 'did you mean `pruning`'),
        ('Pruning', dict(ratio=0.7), 'did you mean `pruning`'),
        ('weights_compression', dict(name='a'), 'did you mean `weight_compression`'),
        ('runer_type', 'X', 'did you mean `runner_type`'),
        ('load_form', 'dense.pth', 'did you mean `load_from`'),
        ('custom_hook', [dict(type='EMAHook')], 'did you mean `custom_hooks`'),
        ('randomnes', dict(seed=3), 'did you mean `randomness`'),
        ('mimic', dict(weight=1.0), r'stands in `pruning\.retrain\.mimic`'),
        ('weight_compression', dict(methods={}), r"chain=\['mmdet_lcp\.PruningRunner', '.*Weight"),
        ('chain', ['a'], r"runner_type='mmdet_lcp\.ChainRunner'"),
    ],
)
def test_what_was_meant_to_be_something_else(key, value, message):
    with pytest.raises(CompressionError, match=message):
        check_top_level({'pruning': PRUNING, key: value}, ('pruning',))


def test_variables_and_what_nobody_reads():
    cfg = dict(
        pruning=PRUNING,
        data_root='data/coco/',
        train_pipeline=[dict(type='Resize')],
        pruning_=PRUNING,  # like `pruning`, but what it is made of
        train_dataloader=dict(
            dataset=dict(ann_file='data/coco/a.json', pipeline=[dict(type='Resize')])
        ),
        weight_compression=None,
        default_scope='mmdet',
        retraining=dict(max_epochs=7),
        base_lr=0.004,
        interval=None,
    )
    assert check_top_level(cfg, ('pruning',)) == ['retraining', 'base_lr']


def test_a_link_of_a_chain_has_a_key_of_its_own():
    cfg = dict(pruning_2=dict(a=1), chain=['x'])
    assert check_top_level(cfg, ('chain', 'pruning_2')) == []
    with pytest.raises(CompressionError, match='did you mean `pruning`'):
        check_top_level(cfg, ('chain',))
