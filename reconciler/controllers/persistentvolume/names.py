"""Annotations and kinds that the planners of volumes share, and who their events say they are from."""

CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
CLASSES = "storageclasses.storage.k8s.io"
PODS = "pods"

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
OLD_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"

IN_TREE = "kubernetes.io/"  # provisioners with this prefix would be part of kube-controller-manager; there are none
LOCAL = "reconciler.dev/local"  # the provisioner of folders on a node
COMPONENT = "persistentvolume-controller"
