"""The record of a run, handed from one process to the next."""

from mmdet_lcp.engine.progress import Progress
from mmdet_lcp.report.facts import StepFacts


def test_seconds_of_all_processes_add_up(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr('mmdet_lcp.engine.progress.time.time', lambda: now[0])
    first = Progress(started=now[0])
    now[0] += 25
    first.stages_done = 2
    first.steps.append(StepFacts('dense', None, {'mAP': 0.5}))
    saved = first.to_dict()
    assert saved == {
        'stages_done': 2,
        'steps': [{'step': 'dense', 'group': None, 'metrics': {'mAP': 0.5}}],
        'seconds': 25.0,
    }
    now[0] += 500  # nobody is at work
    second = Progress(started=now[0])
    second.load(saved)
    now[0] += 10
    assert second.seconds == 35.0 and second.stages_done == 2
    assert second.steps == first.steps
