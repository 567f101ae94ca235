"""mmdet: a distilling detector whose ``train()`` and ``eval()`` return it."""

from __future__ import annotations

import functools


def train_returns_distilling_detector() -> None:
    """Let LD, LAD and their base class return themselves from ``train``, as every module does.

    ``KnowledgeDistillationSingleStageDetector.train`` returns nothing, nor does ``eval``, which
    calls it: ``detector = MODELS.build(cfg).eval()`` is ``None``.
    """
    from mmdet.models.detectors import KnowledgeDistillationSingleStageDetector as Distilling

    train = Distilling.train
    if hasattr(train, '_lcp_fix'):
        return

    @functools.wraps(train)
    def fixed_train(self, mode=True):
        train(self, mode)
        return self

    fixed_train._lcp_fix = 'KnowledgeDistillationSingleStageDetector.train'
    Distilling.train = fixed_train
