"""Claims on students of a teacher: a function a check, from results to an effect.

A seed that diverged is NaN, and counts as the worst outcome (``luckmatters.judging.statistics.with_diverged``).
"""

from luckmatters.kinds.student_training.claims import ablations, growth, luck, over_parameterization, weights

MODULES = growth, luck, ablations, over_parameterization, weights
EVIDENCE = [item for module in MODULES for item in module.EVIDENCE]
