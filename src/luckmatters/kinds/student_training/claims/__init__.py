"""Claims on students of a teacher: a function a check, from results to an effect.

A seed that diverged is NaN, and counts as the worst outcome (``luckmatters.judging.statistics.with_diverged``).
"""

from luckmatters.kinds.student_training.claims import ablations, generalization, growth, luck, over_parameterization

EVIDENCE = [
    *growth.EVIDENCE,
    *luck.EVIDENCE,
    *ablations.EVIDENCE,
    *over_parameterization.EVIDENCE,
    *generalization.EVIDENCE,
]
