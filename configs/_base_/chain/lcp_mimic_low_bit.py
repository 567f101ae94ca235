# A chain of three: half of the channels go by exact selection; what is left is trained beside a
# teacher, which may be any detector (for the dense one alone, lcp_low_bit.py does it in one link);
# then the weights get one bit and a scale. Inherit this beside a detector's own config, give
# `load_from` its trained checkpoint and name the teacher:
#   mimic = dict(teacher=dict(config='large.py', checkpoint='large.pth'))
_base_ = './lcp_low_bit.py'

chain = [
    'mmdet_lcp.PruningRunner',
    # It trains as the detector's own config says, but for these keys.
    dict(
        type='mmdet_lcp.MimicRunner',
        cfg=dict(
            train_cfg=dict(max_epochs=8),
            param_scheduler=[
                dict(type='CosineAnnealingLR', T_max=8, eta_min=1e-5, convert_to_iter_based=True)
            ],
        ),
    ),
    'mmdet_lcp.WeightCompressionRunner',
]

# The second link is the retraining.
pruning = dict(retrain=dict(max_epochs=0, mimic=None))
mimic = dict(weight=1.0)
