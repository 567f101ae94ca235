"""Two ranks: the teacher stays out of what they exchange, and they end alike."""

import json

import pytest
from ranks import train_on_two_ranks

# Says on every rank what the student has become, and whether the teacher is as it was.
TELL = """
import hashlib, json
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

def digest(weights):
    found = hashlib.sha256()
    for key, value in weights.items():
        found.update(key.encode() + value.detach().cpu().numpy().tobytes())
    return found.hexdigest()

@HOOKS.register_module()
class TellStudent(Hook):
    def before_train(self, runner):
        model = runner.model.module
        frozen = {id(p) for p in model.mimic.teacher.detector.parameters()}
        self.shared = sum(id(p) in frozen for p in runner.model.parameters())
        self.teacher = digest(model.mimic.teacher.detector.state_dict())

    def after_train(self, runner):
        model = runner.model.module
        told = dict(
            shared=self.shared,
            teacher=[self.teacher, digest(model.mimic.teacher.detector.state_dict())],
            student=digest(dict(model.detector.named_parameters())),
            transforms=digest(model.mimic.transforms.state_dict()),
            wrapper=type(runner.model).__name__,
        )
        path = Path(__file__).with_name(f'rank{runner.rank}.json')
        path.write_text(json.dumps(told))
"""
HOOKS = """
custom_hooks = [dict(type='mmdet_lcp.DropDegenerateBoxesHook'), dict(type='TellStudent')]
custom_imports = dict(imports=['tell_student'])
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture(scope='module')
def ranks(write_student, tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    (folder / 'tell_student.py').write_text(TELL)
    train_on_two_ranks(write_student('ranks', HOOKS), folder)
    told = [json.loads((folder / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    return folder / 'out', told


def test_ranks_agree(ranks):
    _, told = ranks
    assert told[0]['wrapper'] == 'MMDistributedDataParallel'
    for key in ('student', 'transforms', 'teacher'):
        assert told[0][key] == told[1][key]


def test_the_teacher_is_no_part_of_it(ranks):
    for told in ranks[1]:
        assert told['shared'] == 0
        before, after = told['teacher']
        assert before == after


def test_one_rank_writes(ranks):
    out, _ = ranks
    assert (out / 'student.pth').exists()
    assert len(list(out.glob('2*'))) == 1
