"""A run on a GPU that is none (tests/fake_gpu.py): its tensors and the CPU's are never mixed."""

import pytest
from runs import SHORT

EXACT = "criterion=dict(_delete_=True, type='mmdet_lcp.BackwardElimination'), attachment=None"
DCP = (
    "criterion=dict(_delete_=True, type='mmdet_lcp.DCP', channels_per_step=16), "
    "attachment=dict(_delete_=True, type='mmdet_lcp.DiscriminationAuxiliary', losses=1)"
)

DISTILL = f'{EXACT}, distill=dict(max_iters=2, num_images=3)'


@pytest.mark.parametrize(
    ('name', 'keys'),
    [('gpu_lcp', ''), ('gpu_exact', EXACT), ('gpu_dcp', DCP), ('gpu_distill', DISTILL)],
)
def test_pruning(name, keys, write_config, prune, plain_output, gpu):
    config = write_config(name, SHORT + f'pruning.update({keys})\n')
    run = prune(config)
    assert {value.device.type for value in run.detector.state_dict().values()} == {'cuda'}
    assert {value.device.type for value in run.weights.values()} == {'cpu'}
    assert run.plan
