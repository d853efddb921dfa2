"""Pure functions and small modules on tensors: no files, no configuration, no plotting."""
