"""The first set of features, one file an entity; `groups` add to it."""
