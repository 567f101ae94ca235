#!/usr/bin/env bash
# mmrazor cannot be imported beside PyTorch 2.0 or later, not even to prune, and says that
# "torch>=1.13" is missing.
#
# Tool:     mmrazor 1.0.0 (the last release) with mmengine 0.10.7 and mmcv-lite 2.1.0, on torch
#           2.13.0. Once, by hand, on Python 3.11: the same on torch 2.0.1; on 1.13.1 it imports,
#           and its L1 pruning kept the channels of the largest sums of absolute weights.
# Expected: it asserts the versions of mmcv and mmengine and asks for no upper version of torch;
#           `import mmrazor` passes. Pruning is plain PyTorch and should work.
# Seen:     `import mmrazor.models`, which every config of it needs, builds tables for
#           quantization on import. They take names of PyTorch 1.13 (`reverse2` of
#           torch.ao.quantization.fuser_method_mappings) that 2.0.1 has renamed or
#           dropped. The ImportError is caught, placeholders are put in place of all names, and the first that is touched
#           raises "`torch>=1.13` is not installed properly, plz check."
# Who:      anybody who follows its guide beside a PyTorch of today.
# Do:       an environment of its own with torch 1.13.1, numpy below 2 and mmcv 2.0 or 2.1; to
#           reinstall torch, as the message suggests, does not help.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip torch==2.13.0 numpy==2.4.6 mmengine==0.10.7 mmcv-lite==2.1.0 joblib scipy scikit-learn
pip pydacefit pySOT ordered-set typeguard==2.13.3 prettytable
pip --no-deps mmrazor==1.0.0

"$work/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings('ignore')
import torch
from torch.ao.quantization import fuser_method_mappings

import mmrazor

print(f'torch {torch.__version__}, mmrazor {mmrazor.__version__}: `import mmrazor` passes')
try:
    import mmrazor.models
except ImportError as error:
    print(f'`import mmrazor.models`: ImportError: {error}')
    if 'torch>=1.13' not in str(error):
        sys.exit('OTHER: it fails for another reason')
else:
    sys.exit('MENDED: mmrazor.models is imported beside torch 2')
there = [name for name in dir(fuser_method_mappings) if 'reverse' in name]
print('it looks for reverse2, reverse3, reverse_sequential_wrapper2; torch has', there)
if 'reverse2' in there:
    sys.exit('OTHER: the name that it looks for is there')
print('STILL SO: mmrazor cannot be imported beside torch 2, and asks for torch 1.13')
PY
