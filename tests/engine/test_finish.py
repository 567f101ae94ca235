"""The end of a run; what the files hold is in test_pruning_runner.py and test_deployment.py."""

import pytest
import torch

from mmdet_lcp.engine.finish import _weight_bytes


def test_weight_bytes_are_those_of_a_file(tmp_path):
    detector = torch.nn.Linear(100, 50)
    torch.save({'state_dict': detector.state_dict()}, tmp_path / 'w.pth')
    # the archive's name inside the file may differ by a few bytes
    assert _weight_bytes(detector) == pytest.approx((tmp_path / 'w.pth').stat().st_size, abs=256)


def test_latencies_are_measured_in_one_run(finished):
    """Both detectors stand in the report with times of the same minutes."""
    report = finished.report
    assert report['dense']['latency_ms'] > 0
    assert report['compressed']['latency_ms'] > 0
