"""One module a layout; each has ``draw(results, published)`` and is chosen by ``figure.layout`` in an experiment."""
