#!/bin/sh
# First process of a node. Its root is still the host's, read-only: put the node's own disk
# over it, tell the node who it is, and go on with systemd.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
argument() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
number=$(argument node)

mount -t tmpfs tmpfs /mnt
mkdir /mnt/disk /mnt/root
insmod "/usr/lib/uml/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"
mount -t ext4 -o noatime /dev/ubda /mnt/disk
mkdir -p /mnt/disk/work
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/disk/upper,workdir=/mnt/disk/work /mnt/root

root=/mnt/root
if [ ! -e $root/etc/machine-id ] || [ "$(cat $root/etc/hostname)" != "node$number" ]; then
    echo "node$number" > $root/etc/hostname
    rm -f $root/etc/machine-id
    printf '%032x\n' $((0x6d637600 + number)) > $root/etc/machine-id
    for link in "vec0 10.99.0.$number" "vec1 10.98.$number.1"; do
        set -- $link
        printf '[Match]\nName=%s\n[Network]\nAddress=%s/24\nLinkLocalAddressing=no\n' "$1" "$2" \
            > "$root/etc/systemd/network/$1.network"
    done
    ssh-keygen -q -t ed25519 -N '' -C "root@node$number" -f $root/etc/ssh/ssh_host_ed25519_key
fi
if [ "$(argument role)" = witness ] && [ -e $root/opt/mcv ]; then
    # A machine beside the cluster: an etcd may run there, and nothing of mcv or libvirt does.
    rm -rf $root/opt/mcv $root/usr/local/bin/mcv* $root/etc/mcv $root/etc/cron.d/mcv \
        $root/etc/libvirt/hooks $root/etc/udev/rules.d/57-mcv.rules \
        $root/etc/systemd/system/mcv* $root/etc/systemd/system/*.wants/mcv* \
        $root/etc/systemd/system/*.wants/*virt* $root/etc/systemd/system/*.wants/lab-disk.service
fi
# Where the lab's machine is itself a container, systemd is not to take the node for one.
rm -f $root/.dockerenv
umount /proc
# The node's root is the root of its mount namespace, as a switched root is: a namespace made
# from it (libvirt gives each QEMU a /dev of its own) begins there, and not with the host's.
cd $root
pivot_root . mnt
exec chroot . sh -c 'umount -l /mnt && exec /usr/lib/systemd/systemd'
