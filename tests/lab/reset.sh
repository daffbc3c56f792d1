# Run on a node between tests: take away everything that mcv made, check that nothing is left,
# and start mcvd. What holds out (a device in use) makes it fail; the node is made anew then.

# Killed, not stopped: a daemon that is stopped first leaves its cluster. What it has running
# is ended too.
systemctl kill --signal=KILL mcvd.service 2> /dev/null
systemctl stop mcvd.service mcv-etcd.service
# An armed node is not stopped without its being disarmed first.
if systemctl --quiet is-active mcv-lease.service; then
    echo "$(uname -n) is armed." >&2
    exit 1
fi
[ ! -e /proc/net/ip_tables_names ] || iptables-legacy -F
systemctl reset-failed mcvd.service 2> /dev/null
tc qdisc del dev vec0 root 2> /dev/null

if [ -n "$(ls /etc/libvirt/qemu/*.xml /run/libvirt/qemu/*.xml 2> /dev/null)" ]; then
    pkill -KILL -f '^/usr/bin/qemu-system-' && sleep 0.3
    commands=$(virsh -q list --all --name | while read -r domain; do
        [ -z "$domain" ] || echo "destroy $domain; undefine --nvram --managed-save $domain;"
    done)
    [ -z "$commands" ] || virsh -q "$commands" > /dev/null 2>&1
fi

if [ -e /proc/drbd ]; then
    # I/O that waits for the word of a handler keeps its device open: let it go on.
    pkill -KILL -f mcv-drbd-handler
    for minor in $(sed -n 's/^ *\([0-9]*\): cs:.* s[-a-z]*$/\1/p' /proc/drbd); do
        timeout 5 drbdsetup resume-io "$minor"
    done
    for resource in $(drbdsetup status | awk '/^[^ ].* role:/ { print $1 }'); do
        for _ in 1 2 3; do
            timeout 5 drbdsetup down "$resource" 2> /dev/null && break
            sleep 0.5
        done
    done
fi

if [ -n "$(lvs --noheadings --options lv_name vg0)" ]; then
    lvremove --yes --force --quiet vg0 > /dev/null
fi

rm -rf /etc/drbd.d/*.res /var/lib/mcv/* /run/mcv/* /root/.ssh/known_hosts
rm -rf /var/log/libvirt/console/* /var/lib/drbd/* /var/lib/libvirt/images/* /var/lib/libvirt/qemu/save/*
install -m 644 /var/lib/lab-mcv.conf /etc/mcv/mcv.conf

left=$(
    virsh -q list --all --name
    [ ! -e /proc/drbd ] || drbdsetup status | grep -v '^# No currently configured'
    lvs --noheadings --options lv_name vg0
)
if [ -n "${left//[[:space:]]/}" ]; then
    echo "What is left on $(uname -n): $left" >&2
    exit 1
fi

if ! systemctl start mcvd.service; then
    journalctl --no-pager --lines=30 --unit=mcvd.service >&2
    echo "mcvd does not start on $(uname -n)." >&2
    exit 3
fi
