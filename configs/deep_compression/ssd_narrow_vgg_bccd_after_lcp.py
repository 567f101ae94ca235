# LCP and Deep Compression in one chain: SSD on a quarter-width VGG-16, blood cells at 192x192.
_base_ = ['../ssd/ssd_narrow_vgg_bccd.py', '../_base_/chain/lcp_deep_compression.py']

load_from = 'work_dirs/ssd_narrow_vgg_bccd/epoch_30.pth'
