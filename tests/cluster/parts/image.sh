#!/bin/sh
# Writes a docker archive with one layer and one static program in it: an image without a registry.
#
#   image.sh PROGRAM NAME COMMAND TAR      the image runs `/PROGRAM COMMAND` where no arguments are given
set -eu
program=$1 name=$2 command=$3 tar=$4

work=$(mktemp -d "$tar.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
cp "$program" "$work/root/plumb-load"
pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$2" $3; }
pack "$work/root" "$work/layer.tar" plumb-load
digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
cat > "$work/config.json" <<JSON
{"architecture":"$(go env GOARCH)","os":"linux",
 "config":{"Entrypoint":["/plumb-load"],"Cmd":["$command"],"WorkingDir":"/","Env":["PATH=/"]},
 "rootfs":{"type":"layers","diff_ids":["sha256:$digest"]}}
JSON
cat > "$work/manifest.json" <<JSON
[{"Config":"config.json","RepoTags":["$name"],"Layers":["layer.tar"]}]
JSON
pack "$work" "$work/image.tar" "config.json layer.tar manifest.json"
mv "$work/image.tar" "$tar"
