"""The nodes that carry what students have learned, compared at the same training error."""
