# Deep Compression of SSD300 with VGG-16, Pascal VOC 07+12. conv6 and conv7 are VGG's former fully
# connected layers (backbone.features.31 and .33): 22 % of the weights, and the most redundant.
_base_ = ['../ssd/ssd300_vgg16_voc0712.py', '../_base_/weight_compression/deep_compression.py']

load_from = 'work_dirs/ssd300_vgg16_voc0712/epoch_24.pth'

# An epoch is one pass over the 16 551 images (the dense config's are ten).
train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)

weight_compression = dict(
    methods=dict(
        mask=dict(
            sparsity={'_delete_': True, r'features\.(31|33)$': 0.96, '': 0.9},
            training=dict(max_epochs=8),
            last_training=dict(max_epochs=24),
        ),
        share=dict(
            bits={'_delete_': True, r'features\.(31|33)$': 5, '': 8},
            training=dict(max_epochs=8, lr=1e-4),
        ),
    ),
)
