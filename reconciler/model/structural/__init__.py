"""Structural schemas of custom resources: what a CustomResourceDefinition's openAPIV3Schema does to objects.

`schema.parse` reads one; `prune` drops what it does not know, `default` fills in its defaults, `validate` says what it
refuses, `lists` what its sets and maps hold twice, `embedded` what whole objects inside objects must look like, and
`check` whether a schema is structural at all. Wording and order follow k8s.io/apiextensions-apiserver and kube-openapi,
for clients read these messages.

Everything is pure and changes by path copy. CEL rules live in model/cel and model/structural/rules.py.
"""
