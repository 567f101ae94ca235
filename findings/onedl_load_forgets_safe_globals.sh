#!/usr/bin/env bash
# onedl-mmengine: reading one checkpoint takes what you had allowed off torch's list of safe globals.
#
# Tools:    onedl-mmengine 0.10.12 (mmengine.runner.load_checkpoint), torch 2.13.0; beside it mmengine 0.10.7.
# Expected: after torch.serialization.add_safe_globals([HistoryBuffer]) a checkpoint whose training log
#           holds such an object is read by torch.load, before and after anything else was loaded: the
#           list belongs to the process, and nothing was removed from it.
# Seen:     the fork reads inside `torch.serialization.safe_globals([...])`, which names HistoryBuffer
#           too. At the end torch removes every name of that context, also those that had been on the
#           list before: the same torch.load of the same file, which worked a line earlier, raises
#           UnpicklingError. mmengine 0.10.7 has no such context, and the second torch.load works.
# Who:      scripts that allow classes once at the start and read several checkpoints, some through
#           mmengine and some through torch.load (averaging, converting, comparing weights).
# Do:       allow the classes around each torch.load, in a context of your own, not once.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip torch==2.13.0
pip addict==2.4.0 yapf==0.43.0 rich==15.0.0 numpy==2.4.6 packaging==26.3 termcolor==3.3.0 pyyaml==6.0.3 matplotlib==3.11.2
pip --no-deps opencv-python-headless==5.0.0.93
pip --no-deps --target "$work/mmengine" mmengine==0.10.7
pip --no-deps --target "$work/onedl" onedl-mmengine==0.10.12

cat > "$work/show.py" <<'PY'
import pickle
import sys

import mmengine
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint

fork, folder = sys.argv[1] == 'onedl', sys.argv[2]
net = torch.nn.Linear(2, 2)
torch.save({'state_dict': net.state_dict()}, f'{folder}/weights.pth')
torch.save({'log': HistoryBuffer}, f'{folder}/with_log.pth')
torch.serialization.add_safe_globals([HistoryBuffer])


def readable():
    try:
        torch.load(f'{folder}/with_log.pth')
    except pickle.UnpicklingError:
        return False
    return True


before = readable()
load_checkpoint(net, f'{folder}/weights.pth', map_location='cpu')
after = readable()
print(f'mmengine {mmengine.__version__}: torch.load reads it before: {before}, after: {after}')
if not before or (not fork and not after):
    sys.exit('OTHER: the file is not read as expected')
if fork and after:
    sys.exit('MENDED: the list of safe globals is left as it was')
PY
for which in mmengine onedl; do
    PYTHONPATH="$work/$which" "$work/venv/bin/python" -W ignore "$work/show.py" "$which" "$work"
done
echo 'STILL SO: load_checkpoint of onedl-mmengine takes names off the list that it did not add'
