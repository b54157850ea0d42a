#!/bin/sh
# Prints deploy/plumb.yaml: the chart with its default values, for who installs without helm.
#
#   manifests.sh HELM
set -eu
helm=$1
deploy=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cat <<'YAML'
# plumb with the chart's default values, in namespace plumb. Made by `make manifests`; change deploy/helm/plumb instead.
#
#   kubectl apply --server-side -f deploy/plumb.yaml
#
# Put the name of your image first: the text `localhost/plumb:` stands for it.
---
apiVersion: v1
kind: Namespace
metadata:
  name: plumb
  labels:
    app.kubernetes.io/name: plumb
    pod-security.kubernetes.io/enforce: restricted
YAML
"$helm" template plumb "$deploy/helm/plumb" --namespace plumb
