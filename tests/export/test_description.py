"""The digest of a plan, and the page about a file."""

import hashlib

from mmdet_lcp.export.description import card, digest

SAID = dict(
    form='end-to-end',
    input=dict(
        layout='NHWC', dtype='uint8', height=32, width=64, channels=3, batch=None, color='bgr',
        resize=dict(mode='letterbox'),
    ),
    outputs=['dets', 'labels'],
    classes=['cat', 'dog'],
    thresholds=dict(score=0.05, nms='nms'),
    detector=dict(type='RetinaNet', plan=None),
    versions=dict(torch='2', opset=17),
)  # fmt: skip


def test_digest():
    """Of the same plan in another order, the same."""
    text = b'{"a": [1, 2], "b": {"c": 3}}'
    assert digest(dict(b=dict(c=3), a=[1, 2])) == hashlib.sha256(text).hexdigest()
    assert digest(None) is None


def test_card():
    page = card('x.onnx', SAID, 'Checked.')
    assert page.startswith('# x.onnx\n')
    for words in ("NHWC ['N', 32, 64, 3]", '| score | 0.05 |', 'not pruned', 'cat, dog'):
        assert words in page
