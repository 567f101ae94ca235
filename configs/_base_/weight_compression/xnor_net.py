# XNOR-Net (Rastegari et al., ECCV 2016): sign weights with a scale a filter, and a batch norm and
# a sign in front of each layer, whose output is scaled by what the sign has lost.
# Block by block, as low_bit.py. The paper trains with Adam; the config that inherits this adds it:
# optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
runner_type = 'mmdet_lcp.WeightCompressionRunner'

weight_compression = dict(
    methods=dict(
        xnor_net=dict(
            type='mmdet_lcp.XNORNet',
            training=dict(
                max_epochs=12,
                lr=1e-3,
                param_scheduler=[
                    dict(type='CosineAnnealingLR', eta_min=1e-5, convert_to_iter_based=True)
                ],
            ),
        )
    ),
    # What is left at full precision, biases and norms takes 16 bits in the packed file.
    pack=dict(half=True),
)
