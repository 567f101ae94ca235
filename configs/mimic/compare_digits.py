# The ground of a comparison (tools/compare.py) on the built-in digits: every method's retraining
# has the dense detector as its teacher.
_base_ = '../lcp/compare_digits.py'

pruning = dict(retrain=dict(mimic=dict()))
