"""Shared parts of the figures of BatchNorm biases: order of networks, colours of signs, sentences on sources."""

import seaborn as sns

from luckmatters.drawing.style import label_name
from luckmatters.kinds.bn_bias.settings import WEIGHTS_REMEDY
from luckmatters.science.biases import by_layer, compared, has_weights
from luckmatters.tables.results import Results

NEGATIVE, POSITIVE = (sns.color_palette("colorblind")[index] for index in (0, 1))  # as published: blue, orange


def models(results: Results) -> dict[str, object]:
    """Tables of whole layers (see ``by_layer``) by variant, VGG before ResNet, then by depth."""

    def order(variant: str) -> tuple[bool, int]:
        model = results.runs[variant].settings.model.removesuffix("_bn")
        return model.startswith("resnet"), int(model.strip("vgresnt"))

    tables = dict(list(results.table.groupby("variant", sort=False)))
    return {variant: by_layer(tables[variant]) for variant in sorted(tables, key=order)}


def sources(results: Results) -> str:
    """Sentences on the source of the numbers; on networks without weights, the reason, and the remedy."""
    origins = [manifest["data"] for _, manifest in results.manifests if manifest["weights"]]
    lacking = {variant: manifest["no_weights"] for variant, manifest in results.manifests if manifest["no_weights"]}
    text = f"Scale {results.scale}. "
    if origins:
        text += f"Data: {'; '.join(origins)}. "
    if lacking:
        names = ", ".join(label_name(results, variant) for variant in lacking)
        whys = "; ".join(dict.fromkeys(lacking.values()))
        text += f"PUBLISHED NUMBERS STAND IN FOR THE WEIGHTS of {names}: {whys}. {WEIGHTS_REMEDY}. "
    return text


def agreement(results: Results) -> str:
    """A sentence on how many published numbers the weights give; empty without weights."""
    tables = [compared(layers) for layers in models(results).values() if has_weights(layers)]
    tables = [table for table in tables if len(table)]
    if not tables:
        return ""
    met = {"shares": [0, 0], "means and standard deviations": [0, 0]}
    for table in tables:
        for quantity, rows in table.groupby("quantity"):
            counts = met["shares" if quantity == "not_positive" else "means and standard deviations"]
            counts[0] += int(rows["met"].sum())
            counts[1] += len(rows)
    counted = " and ".join(f"{m} of {n} {name}" for name, (m, n) in met.items() if n)
    return f"Published numbers that the weights give: {counted}."
