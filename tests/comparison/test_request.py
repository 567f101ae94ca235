"""A request that makes no sense is refused before its config is read: there is none here."""

import pytest

from mmdet_lcp.comparison.request import Request, check_one_architecture, check_request
from mmdet_lcp.errors import CompressionError


def request(methods=('lcp_exact', 'scratch'), **more) -> Request:
    return Request('no_such_config.py', list(methods), **more)


@pytest.mark.parametrize(
    'asked',
    [
        request(ratios=[0.5, 0.7], seeds=[0, 1], scratch_options={'train_cfg.max_epochs': 3}),
        request(['lcp_exact'], macs=[0.25, 0.1]),
        request(['dense_retrained'], macs=[0.999]),
    ],
)
def test_what_makes_sense(asked):
    check_request(asked)


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        (request([]), 'names no method'),
        (request(ratios=[1.0]), r'--ratios 1 is the fraction .* between 0 and 1'),
        (request(['lcp'], macs=[0.0]), r'--macs 0 is the share .* between 0 and 1'),
        (request(['lcp'], macs=[0.5, 0.5]), '--macs names a value twice: 0.5 0.5'),
        (request(ratios=[0.5], seeds=[]), '--seeds must be integers, 0 or above'),
        (request(finetune_iters=0), '--finetune-iters must be at least 1'),
        (request(['lcp'], scratch_options={'a.b': 1}), 'none of scratch and uniform'),
        (request(scratch_options={'model.neck': 1}), 'only its training may differ'),
    ],
)
def test_what_does_not(asked, message):
    with pytest.raises(CompressionError, match=message):
        check_request(asked)


def test_no_architecture_to_train_from_scratch():
    check_one_architecture(request(['lcp_exact', 'dense_retrained']))
    for check in (check_one_architecture, lambda asked: check_request(asked)):
        with pytest.raises(CompressionError, match=r'uniform has .* --ratios.*report\.json'):
            check(request(['lcp_exact', 'uniform'], macs=[0.1]))
