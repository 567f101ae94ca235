"""What has to be there before `mmdet_lcp` is imported, and must not import PyTorch itself.

`commands` are the names behind ``mmdet-lcp``, `hook` lets mmengine find the package, `threads`
sets how PyTorch's threads wait.
"""
