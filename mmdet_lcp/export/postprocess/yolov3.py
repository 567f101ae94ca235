"""YOLOv3: one map a level with box, objectness and classes; `nms_pre` is of all levels."""

import torch
from mmdet.models.dense_heads import YOLOV3Head
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, decode_rows, rows


class YOLOV3Postprocess(DensePostprocess):
    """Candidates with little objectness go first (`conf_thr`)."""

    names = ('pred_map',)

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `YOLOV3Head` does."""
        own = type(head)
        return isinstance(head, YOLOV3Head) and own.predict_by_feat is YOLOV3Head.predict_by_feat

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`; all as one level."""
        (maps,) = outputs
        parts, priors = [], self.priors(maps)
        for values, prior, stride in zip(maps, priors, self.head.featmap_strides, strict=True):
            each = rows(values, self.head.num_attrib)
            deltas = torch.cat([each[..., :2].sigmoid(), each[..., 2:4]], -1)
            boxes = decode_rows(self.head.bbox_coder, prior, deltas, stride=stride)
            sure = each[..., 4].sigmoid()
            least = self.cfg.get('conf_thr', -1)
            scores = each[..., 5:].sigmoid()
            if least > 0:
                scores = torch.where((sure >= least)[..., None], scores, torch.zeros_like(scores))
            parts.append(Level(boxes, scores, sure))
        return [Level(*(torch.cat(part, 1) for part in zip(*parts, strict=True)))]
