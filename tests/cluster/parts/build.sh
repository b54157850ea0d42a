#!/bin/sh
# Builds the programs that the cluster tests run on, each once, into target/cluster: Go programs into
# bin/<Kubernetes version> (control plane, kubelet) and bin/shared (the rest), Debian packages unpacked under deb/.
# Nothing is installed on the machine and no service is started.
#
#   build.sh [PART...]     parts: kubernetes runtime metrics-server kwok helm load deb browser; all of them when none is named
#
# KUBERNETES=1.37.2        another Kubernetes version than the default; it needs a module kubernetes-<minor> here
# KUBEBUILDER_ASSETS=DIR   etcd, kube-apiserver and kubectl are there already and are not built
#
# A part is built again only when what pins it has changed: its module's files, this script, or the Go release.
set -eu

parts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$parts/../../.." && pwd)
out=${CARGO_TARGET_DIR:-$root/target}/cluster
KUBERNETES=${KUBERNETES:-1.36.3}
minor=${KUBERNETES%.*}

say() { echo "cluster parts: $*" >&2; }
die() { say "$*"; exit 1; }

# The programs are static: they run whatever C library the machine has, and building them needs no C compiler.
export CGO_ENABLED=0

# What a module pins, as one number.
pins() {
    { go version; cat "$1"/*; cat "$0"; } | sha256sum | cut -d' ' -f1
}

# go_part NAME MODULE BIN LDFLAGS: builds every `tool` of the module, or its own main package when it names none.
go_part() {
    name=$1 module=$parts/$2 bin=$out/bin/$3 ldflags=$4
    stamp=$out/stamps/$name
    pins=$(pins "$module")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$pins" ] && complete "$module" "$bin"; then
        return 0
    fi
    say "building $name"
    mkdir -p "$bin" "$out/stamps"
    rm -f "$stamp"
    tools=$(tools "$module")
    for package in ${tools:-.}; do
        program=$(program "$package" "$name")
        if provided "$program"; then continue; fi
        (cd "$module" && go build -trimpath -buildvcs=false -ldflags "-s -w $ldflags" -o "$bin/.$program" "$package")
        # Renamed over, not written over: the old one may be running.
        mv "$bin/.$program" "$bin/$program"
    done
    echo "$pins" > "$stamp"
}

tools() { (cd "$1" && go mod edit -json | sed -n '/"Tool"/,/\]/s/.*"Path": "\(.*\)".*/\1/p'); }

# The file name that a package's program gets.
program() {
    case $1 in
    .) echo "plumb-$2" ;;
    go.etcd.io/etcd/server/v3) echo etcd ;;
    *) basename "$1" ;;
    esac
}

provided() {
    case $1 in
    etcd | kube-apiserver | kubectl) [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ] ;;
    *) false ;;
    esac
}

complete() {
    wanted=$(tools "$1")
    for package in ${wanted:-.}; do
        program=$(program "$package" "$(basename "$1")")
        provided "$program" || [ -x "$2/$program" ] || return 1
    done
}

kubernetes() {
    module=kubernetes-$minor
    [ -d "$parts/$module" ] || die "no module $module beside this script: KUBERNETES=$KUBERNETES is not a version that is pinned here"
    grep -q "k8s.io/kubernetes v$KUBERNETES\( \|\$\)" "$parts/$module/go.mod" ||
        die "$module/go.mod pins another version than KUBERNETES=$KUBERNETES"
    v=k8s.io/component-base/version
    go_part "kubernetes-$KUBERNETES" "$module" "$KUBERNETES" \
        "-X $v.gitVersion=v$KUBERNETES -X $v.gitMajor=1 -X $v.gitMinor=${minor#1.} -X $v.gitTreeState=clean"
}

runtime() {
    go_part runtime runtime shared "-X github.com/containerd/containerd/v2/version.Version=v2.2.3"
}

metrics_server() {
    go_part metrics-server metrics-server shared "-X k8s.io/client-go/pkg/version.gitVersion=v0.9.0"
}

kwok() { go_part kwok kwok shared "-X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0"; }

helm() {
    v=helm.sh/helm/v4/internal/version
    go_part helm helm shared "-X $v.version=v4.3.1 -X $v.gitTreeState=clean"
}

# The test workload and the images that the node runs: an image is a docker archive with one layer and one program.
load() {
    go_part load load shared ""
    for image in load pause; do
        tar=$out/images/$image.tar
        if [ "$tar" -nt "$out/bin/shared/plumb-load" ] && [ "$tar" -nt "$root/deploy/image.sh" ]; then continue; fi
        "$root/deploy/image.sh" "$out/bin/shared/plumb-load" "localhost/plumb-$image:dev" "$tar" "$image"
    done
}

# runc (its Go build has no seccomp without the C library) and prometheus: unpacked, never installed.
deb() {
    for package in runc prometheus; do
        dir=$out/deb/$package
        program=$dir/usr/sbin/runc
        [ "$package" = runc ] || program=$dir/usr/bin/$package
        if [ -x "$program" ]; then continue; fi
        say "fetching Debian's $package"
        rm -rf "$dir" && mkdir -p "$dir"
        (cd "$dir" && { fetch "$package" || { apt-get update -qq && fetch "$package"; }; }) >&2 ||
            die "Debian's package $package could not be fetched: node tests need it"
        dpkg -x "$dir"/*.deb "$dir"
        rm -f "$dir"/*.deb
        missing=$(ldd "$program" | grep 'not found' || true)
        [ -z "$missing" ] || { rm -rf "$dir"; die "$package needs libraries that this machine lacks: $missing (apt-get install libseccomp2)"; }
    done
}

# As root, apt would hand this to a user who may not write here.
fetch() { apt-get download -qq -o APT::Sandbox::User=root "$1"; }

# A browser to look at pages with; the only part that is installed, as it cannot be unpacked and run.
browser() {
    for program in chromium chromium-browser google-chrome; do
        if command -v "$program" > /dev/null; then return 0; fi
    done
    say "installing Debian's chromium"
    { apt-get install -y -qq --no-install-recommends chromium ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }; } >&2 ||
        die "chromium could not be installed: the dashboard is tested in it"
}

# Two builds of a part at once would do the same work twice; of different parts they may go on side by side.
lock() {
    mkdir -p "$out/stamps"
    exec 9> "$out/stamps/$1.lock"
    command -v flock > /dev/null || return 0
    flock --nonblock 9 || { say "waiting for another build of $1"; flock 9; }
}

[ $# -gt 0 ] || set -- kubernetes load runtime deb metrics-server kwok helm browser
for part in "$@"; do
    if [ "$part" = kubernetes ]; then lock "$part-$KUBERNETES"; else lock "$part"; fi
    case $part in
    kubernetes | runtime | kwok | helm | load | deb | browser) "$part" ;;
    metrics-server) metrics_server ;;
    *) die "unknown part $part" ;;
    esac
done
