"""Candidates, labels, sampling and the dates of a training set."""
