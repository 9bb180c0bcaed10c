"""Kubernetes' declarative model for one Linux box and up."""

__version__ = "0.1.0"
