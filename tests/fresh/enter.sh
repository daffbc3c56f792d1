#!/bin/bash
# First process of a fresh machine, in mount and process namespaces of its own: give the root
# what a kernel gives, and run a command in it. What is mounted here goes with the namespaces.
set -euo pipefail
root=$1/root
directories=$1/directories
shift

# A mount point: `ip netns` changes how mounts below / spread.
mount --bind "$root" "$root"
# Where the host keeps packages itself, its settings lead there.
while read -r directory; do
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
    mount -o remount,bind,ro "$root$directory"
done < "$directories"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind /sys "$root/sys"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/sys"
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$root/run"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
mkdir "$root"/dev/{net,pts,shm}
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o nosuid,noexec,newinstance,mode=620,gid=5,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
done
# The host's own nodes: making new ones is a privilege that a container may lack.
for node in full net/tun null random tty urandom zero; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done

# Not its last command: this shell stays, and takes leave of processes whose parents are gone.
chroot "$root" "$@" || exit
