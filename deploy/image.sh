#!/bin/sh
# Writes a container image as a tar (docker archive) without docker: for `ctr images import`, `docker load`,
# `podman load` or `skopeo copy docker-archive:TAR`. One layer: the program at /, the C library where it needs one, and
# nothing else: no shell, no package manager.
#
#   image.sh [--user UID] [--certificates] PROGRAM NAME TAR [ARGUMENT]
#
# --user UID        who it runs as; root where this is left out
# --certificates    with this machine's certificate authorities, for TLS to the outside
# ARGUMENT          what it is given where nothing else is said
set -eu
user='' certificates=''
while :; do
    case $1 in
    --user) user=$2; shift 2 ;;
    --certificates) certificates=/etc/ssl/certs/ca-certificates.crt; shift ;;
    *) break ;;
    esac
done
program=$1 name=$2 tar=$3 command=${4:-}
base=$(basename "$program")

case $(uname -m) in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) echo "image.sh: no image is made on $(uname -m)" >&2; exit 1 ;;
esac

mkdir -p "$(dirname "$tar")"
work=$(mktemp -d "$tar.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"
cp "$program" "$root/$base"
# What the program loads, at the places where the loader looks for it. A static program loads nothing.
if libraries=$(ldd "$program" 2> /dev/null); then
    for library in $(echo "$libraries" | grep -o '/[^ ]*'); do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
fi
if [ -n "$user" ]; then
    mkdir -p "$root/etc"
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%s:%s:nonroot:/:/sbin/nologin\n' "$user" "$user" > "$root/etc/passwd"
fi
if [ -n "$certificates" ]; then
    mkdir -p "$root/etc/ssl/certs"
    cp -L "$certificates" "$root$certificates"
fi
pack() { # folder, tar, entries
    folder=$1 packed=$2
    shift 2
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$folder" -cf "$packed" "$@"
}
pack "$root" "$work/layer.tar" .
digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
cat > "$work/config.json" <<JSON
{"architecture":"$architecture","os":"linux",
 "config":{"Entrypoint":["/$base"],"Cmd":[${command:+\"$command\"}],"WorkingDir":"/","Env":["PATH=/"],"User":"${user:+$user:$user}"},
 "rootfs":{"type":"layers","diff_ids":["sha256:$digest"]}}
JSON
cat > "$work/manifest.json" <<JSON
[{"Config":"config.json","RepoTags":["$name"],"Layers":["layer.tar"]}]
JSON
pack "$work" "$work/image.tar" config.json layer.tar manifest.json
mv "$work/image.tar" "$tar"
