"""One module a kind of experiment: resolved settings, a teacher and seeds in; a tidy table and named tensors out."""
