"""Weight compression on a GPU that is none (tests/fake_gpu.py)."""

import pytest

LOW_BIT = (
    "dict(low_bit=dict(type='mmdet_lcp.LowBitWeights', bits=2, scale='channel', "
    "layers='stage[23]', schedule='all_at_once', training=dict(max_iters=1)))"
)
DEEP = (
    "dict(mask=dict(type='mmdet_lcp.ConnectionPruning', sparsity=0.5, "
    "training=dict(max_iters=1)), share=dict(type='mmdet_lcp.WeightSharing', bits=4, "
    'training=dict(max_iters=1)))'
)


@pytest.mark.parametrize(('name', 'methods'), [('gpu_low_bit', LOW_BIT), ('gpu_deep', DEEP)])
def test_weight_compression(name, methods, write_compression, prune, plain_output, gpu):
    extra = f'weight_compression.update(methods={methods})\n'
    run = prune(write_compression(name, extra))
    assert {value.device.type for value in run.detector.state_dict().values()} == {'cuda'}
    assert (run.work_dir / 'compressed.lcp').stat().st_size > 1000
