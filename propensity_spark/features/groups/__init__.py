"""Groups of features that a shop may choose besides the first: one file per group, each a declaration."""
