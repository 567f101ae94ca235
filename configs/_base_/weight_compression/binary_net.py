# BinaryNet (Courbariaux et al., NeurIPS 2016): sign weights, and a batch norm and a sign in front
# of each layer. What such a layer gives is not scaled: it wants a batch norm behind it.
# Block by block, as low_bit.py. The paper trains with Adam; the config that inherits this adds it:
# optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
runner_type = 'mmdet_lcp.WeightCompressionRunner'

weight_compression = dict(
    methods=dict(
        binary_net=dict(
            type='mmdet_lcp.BinaryNet',
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
