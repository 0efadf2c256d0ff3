"""The jobs: the only modules that connect the stages."""
