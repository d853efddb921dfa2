def draw(results, published):
    raise NotImplementedError
