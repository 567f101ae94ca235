# The ground of a comparison (tools/compare.py) on blood cells: every method's retraining has the
# dense detector as its teacher.
_base_ = '../lcp/compare_bccd.py'

pruning = dict(retrain=dict(mimic=dict()))
