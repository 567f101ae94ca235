"""`mmdet_lcp.runtime` is the package that runs exported detectors, by another name."""

import mmdet_lcp_runtime
from mmdet_lcp import runtime


def test_the_same_objects():
    assert set(runtime.__all__) == {'DetectionError', 'Detections', 'Detector'}
    for name in runtime.__all__:
        assert getattr(runtime, name) is getattr(mmdet_lcp_runtime, name)
