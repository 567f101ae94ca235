"""What a pruning run tells at its end; the files are looked at in test_runner.py."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.measure.pair_timing import PairTiming
from mmdet_lcp.pruning.finish import PruningFinish
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.report.facts import DetectorFacts


def finish(tmp_path, allocation=None, method='mine') -> PruningFinish:
    job = SimpleNamespace(
        dense=None,
        image_size=(32, 64),
        allocation=allocation,
        facts=['groups'],
        skipped=[Skipped('neck.a', 'odd')],
    )
    found = PruningFinish(SimpleNamespace(work_dir=str(tmp_path)), job, Config(), method)
    found.dense = DetectorFacts({'mAP': 0.5}, params=1000, macs=5000, latency_ms=8.0)
    return found


def test_what_is_told(tmp_path):
    told = finish(tmp_path).told(DetectorFacts())
    assert told['method'] == 'mine' and told['groups'] == ['groups']
    assert [(item.name, item.reason) for item in told['skipped']] == [('neck.a', 'odd')]
    assert told['target'] is None


@pytest.mark.parametrize(('cost', 'reached'), [('macs', 0.4), ('params', 0.3), ('latency', 0.75)])
def test_a_target_is_held_against_what_was_reached(tmp_path, cost, reached):
    allocation = Allocation(cost, 0.5, 0.45, 0.1, dense=1.0, counts={})
    compressed = DetectorFacts(params=300, macs=2000, latency_ms=6.0)
    target = finish(tmp_path, allocation).told(compressed)['target']
    assert (target.cost, target.asked, target.predicted, target.floor) == (cost, 0.5, 0.45, 0.1)
    assert target.reached == pytest.approx(reached)


def test_a_latency_is_told_with_what_was_measured_before_and_its_spread(tmp_path):
    allocation = Allocation('latency', 0.5, 0.45, 0.1, dense=8.2, counts={}, measured=0.52)
    found = finish(tmp_path, allocation)
    found.timing = PairTiming([8.0, 10.0], [6.0, 7.0])
    target = found.told(DetectorFacts(latency_ms=6.0))['target']
    assert target.measured == 0.52 and target.reached == pytest.approx(0.75)
    assert target.reached_range == pytest.approx([0.7, 0.75])
    assert found.notes() == []  # 8.2 ms then and 8.0 ms now


def test_a_machine_that_has_changed_is_told(tmp_path):
    allocation = Allocation('latency', 0.5, 0.45, 0.1, dense=10.0, counts={}, measured=0.52)
    found = finish(tmp_path, allocation)
    found.runner.before = 'dense'
    (line,) = found.notes()
    assert 'The dense detector took 10.0 ms when the channels were chosen and 8.0 ms at' in line
    found.timing = PairTiming([8.0, 16.0], [6.0, 6.0])
    assert 'rounds of one detector differ by 100 %' in found.notes()[0]


def test_a_latency_in_another_runtime_is_no_measure_of_the_machine(tmp_path):
    """Both ends are timed in PyTorch, which takes another time on a quiet machine, too."""
    allocation = Allocation(
        'latency', 0.5, 0.45, 0.1, dense=2.0, counts={}, measured=0.52, runtime='onnxruntime'
    )
    found = finish(tmp_path, allocation)
    assert found.notes() == []
    assert found.told(DetectorFacts(latency_ms=6.0))['target'].runtime == 'onnxruntime'


def test_measurements_of_an_earlier_process(tmp_path):
    before = finish(tmp_path)
    before.pruned_metrics = {'mAP': 0.4}
    after = finish(tmp_path)
    after.dense = DetectorFacts()
    after.load(before.data())
    assert after.dense == before.dense and after.pruned_metrics == {'mAP': 0.4}
