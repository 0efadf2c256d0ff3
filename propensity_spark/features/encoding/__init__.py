"""The kinds of encoders, one file each; `features.encoders` fits and applies them together."""
