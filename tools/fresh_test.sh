#!/bin/sh
# SPDX-License-Identifier: MIT
# Prove that ./dev test does all its own set-up: run it in a new, minimal Debian 12, with the
# tree of HEAD, and remove everything again. Exit status 77 and one line where that cannot be.
set -eu
cd "$(dirname "$0")/.."

skip()
{
    echo "fresh-test: skipped: $*" >&2
    exit 77
}

[ "$(id -u)" = 0 ] || skip "needs root (chroot)"
git rev-parse -q --verify HEAD >/dev/null || skip "there is no commit to test"
command -v chroot >/dev/null || skip "no chroot"
if command -v mmdebstrap >/dev/null; then
    maker=mmdebstrap
elif command -v debootstrap >/dev/null; then
    maker=debootstrap
else
    skip "neither mmdebstrap nor debootstrap is installed"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/molehill-fresh.XXXXXX")
root=$work/root
mounted=
cleanup()
{
    for where in $mounted; do
        umount -R "$root/$where" 2>/dev/null || umount -R -l "$root/$where" || :
    done
    # Never descend into something that is still mounted.
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

# The machine's own package sources, so that a mirror or a proxy it needs is used here too.
echo "fresh-test: $maker in $work"
if [ "$maker" = mmdebstrap ]; then
    sources=
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources; do
        [ ! -s "$file" ] || sources="$sources $file"
    done
    mmdebstrap --quiet --variant=minbase bookworm "$root" $sources ||
        skip "mmdebstrap failed"
else
    debootstrap --variant=minbase bookworm "$root" >"$work/log" 2>&1 || {
        tail -n 3 "$work/log" >&2
        skip "debootstrap failed"
    }
fi
for file in /etc/apt/apt.conf.d/*prox* /etc/resolv.conf /etc/hosts; do
    [ ! -f "$file" ] || cp -L "$file" "$root$file"
done
for where in proc sys dev; do
    if mount --rbind "/$where" "$root/$where" 2>/dev/null; then
        mount --make-rslave "$root/$where" 2>/dev/null || :
        mounted="$where $mounted"
    fi
done
[ -r "$root/proc/self/maps" ] || skip "cannot mount proc in the chroot"

mkdir "$root/molehill"
git archive HEAD | tar -x -C "$root/molehill"
status=0
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LC_ALL=C.UTF-8 chroot "$root" sh -c 'cd /molehill && ./dev test gcc' || status=$?
echo "fresh-test: ./dev test gcc ended with status $status"
exit "$status"
