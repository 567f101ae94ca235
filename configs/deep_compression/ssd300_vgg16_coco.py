# Deep Compression of SSD300 with VGG-16, COCO 2017: as on Pascal VOC, with fewer epochs of seven
# times as many images.
_base_ = ['../ssd/ssd300_vgg16_coco.py', '../_base_/weight_compression/deep_compression.py']

load_from = 'work_dirs/ssd300_vgg16_coco/epoch_24.pth'

train_dataloader = dict(batch_size=32, dataset=dict(times=1))
auto_scale_lr = dict(base_batch_size=32)

weight_compression = dict(
    methods=dict(
        mask=dict(
            sparsity={'_delete_': True, r'features\.(31|33)$': 0.96, '': 0.9},
            training=dict(max_epochs=2),
            last_training=dict(max_epochs=8),
        ),
        share=dict(
            bits={'_delete_': True, r'features\.(31|33)$': 5, '': 8},
            training=dict(max_epochs=2, lr=1e-4),
        ),
    ),
)
