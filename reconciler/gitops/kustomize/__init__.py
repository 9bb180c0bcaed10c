"""kustomize, built in: from a directory with a kustomization file to the documents that it means.

Equal to what `kubectl kustomize` prints. Pure but for the Files it is handed, which read one tree. Deliberately not
here, and refused by name: remote bases, Helm charts, plug-ins (generators, transformers, validators), vars, crds,
openapi and buildMetadata.
"""
