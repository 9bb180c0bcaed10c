"""Validation that kinds share, in Kubernetes' order and wording (pkg/apis/core/validation and its neighbours).

Every rule is a generator of FieldErrors over canonical objects: nothing for a good value. Paths are given by the caller.
"""
