"""What several tests of this folder begin with."""

import json
from types import SimpleNamespace

import pytest
from mmdet.evaluation import CocoMetric


@pytest.fixture
def measuring(tmp_path):
    """Makes a runner that measures on COCO's data: objects of some classes, a crowd of `c`."""

    def make(shown=(0,), name='val', first_id=1):
        path = tmp_path / f'{name}.json'
        box = dict(image_id=1, bbox=[1, 1, 3, 3], area=9, iscrowd=0)
        objects = [dict(box, id=k + first_id, category_id=k) for k in shown]
        objects.append(dict(box, id=9, category_id=2, iscrowd=1))
        truth = dict(
            images=[dict(id=1, width=9, height=9, file_name='x.jpg')],
            annotations=objects,
            categories=[dict(id=i, name=text) for i, text in enumerate('abc')],
        )
        path.write_text(json.dumps(truth))
        metric = CocoMetric(ann_file=str(path))
        metric.dataset_meta = dict(classes=('a', 'b', 'c'))
        loop = SimpleNamespace(evaluator=SimpleNamespace(metrics=[metric]))
        cfg = {f'{name}_evaluator': dict(type='CocoMetric', ann_file=str(path))}
        loops = {f'{name}_loop': loop, f'_{name}_loop': loop}
        return SimpleNamespace(cfg=cfg, **loops)

    return make
