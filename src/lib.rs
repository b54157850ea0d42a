//! plumb keeps every container in a Kubernetes cluster at the size that it really needs.
