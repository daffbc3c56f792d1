"""What DRBD printed: 8.4.11 as recorded on two nodes, 9 as its manual and reports show it."""


def resource(
    role: str = "Secondary",
    disk: str = "UpToDate",
    connection: str = "Connected",
    replication: str = "Established",
    peer_role: str = "Secondary",
    peer_disk: str = "UpToDate",
    out_of_sync: int = 0,
    suspended: str = "no",
) -> str:
    """`drbdsetup events2 --now --statistics web1` on 8.4.11."""
    # A connection that stands alone has lost its name.
    name = "" if connection == "StandAlone" else " conn-name:peer"
    return f"""\
exists resource name:web1 role:{role} suspended:{suspended} write-ordering:flush
exists connection name:web1 peer-node-id:0{name} connection:{connection} role:{peer_role} \
congested:no
exists device name:web1 volume:0 minor:100 disk:{disk} size:102360 read:0 written:40960 \
al-writes:18 bm-writes:0 upper-pending:0 lower-pending:0 al-suspended:no blocked:no
exists peer-device name:web1 peer-node-id:0{name} volume:0 replication:{replication} \
peer-disk:{peer_disk} resync-suspended:no received:0 sent:40960 out-of-sync:{out_of_sync} \
pending:0 unacked:0
exists -
"""


UNKNOWN = "exists -\n"
SECONDARY = resource()
PRIMARY = resource(role="Primary")
NEW = resource(disk="Inconsistent", peer_disk="Inconsistent", out_of_sync=102360)
LOOKING = resource(
    connection="Connecting", replication="Off", peer_role="Unknown", peer_disk="DUnknown"
)
ALONE = resource(
    connection="StandAlone",
    replication="Off",
    peer_role="Unknown",
    peer_disk="DUnknown",
)
DETACHED = resource(role="Primary", disk="Diskless")
OUTDATED = ALONE.replace("disk:UpToDate", "disk:Outdated", 1)
FROZEN = resource(
    role="Primary",
    connection="Connecting",
    replication="Off",
    peer_role="Unknown",
    peer_disk="DUnknown",
    suspended="fencing",
)
VERIFYING = resource(role="Primary", replication="VerifyS", out_of_sync=4)
SYNCING = resource(
    role="Primary", replication="SyncSource", peer_disk="Inconsistent", out_of_sync=88536
)

PROC_VERIFYING = """\
version: 8.4.11 (api:1/proto:86-101)
srcversion: 059B1B470318F053F5077D5

 10: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
100: cs:VerifyS ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:40960 nr:0 dw:40960 dr:52224 al:18 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:4
	[=>..................] verified: 12.0% (91096/102360)K
	finish: 0:00:15 speed: 5,632 (5,632) want: 5,120 K/sec
"""

# The kernel's percentage counts in units of 4 MiB.
PROC_BEGINNING = PROC_VERIFYING.replace(
    "verified: 12.0% (91096/102360)K", "verified: 20.0% (20416/20440)K"
)

PROC_SYNCING = """\
version: 8.4.11 (api:1/proto:86-101)
srcversion: 059B1B470318F053F5077D5

100: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----
    ns:55296 nr:102360 dw:143320 dr:260016 al:18 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:88024
	[==>.................] sync'ed: 16.0% (88024/102360)K
	finish: 0:00:18 speed: 4,776 (4,776) K/sec
101: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
"""

NINE_SYNCING = """\
exists resource name:web1 role:Primary suspended:no may_promote:no promotion_score:10101 \
write-ordering:flush
exists connection name:web1 peer-node-id:1 conn-name:n2 local:ipv4:10.0.0.1:7900 \
peer:ipv4:10.0.0.2:7900 connection:Connected role:Secondary congested:no ap-in-flight:0 \
rs-in-flight:0
exists device name:web1 volume:0 minor:100 backing_dev:/dev/vg0/web1 disk:UpToDate client:no \
quorum:yes size:1048576 read:3065 written:105640 al-writes:27 bm-writes:0 upper-pending:2 \
lower-pending:0 al-suspended:no blocked:no
exists peer-device name:web1 peer-node-id:1 conn-name:n2 volume:0 replication:SyncSource \
peer-disk:Inconsistent peer-client:no resync-suspended:no received:0 sent:105028 \
out-of-sync:524288 pending:0 unacked:0 done:50.00
exists path name:web1 peer-node-id:1 conn-name:n2 local:ipv4:10.0.0.1:7900 \
peer:ipv4:10.0.0.2:7900 established:yes
exists -
"""

# What drbdadm says when connecting fails, the secret included.
CONNECT_FAILED = (
    "`drbdadm connect web1` exited with 10: web1: Failure: (102) Local address(port) already in "
    "use. Command 'drbdsetup-84 connect web1 ipv4:10.99.0.1:7900 ipv4:10.99.0.2:7900 "
    "--protocol=C --cram-hmac-alg=sha256 --shared-secret=s3cr3t --verify-alg=crc32c' "
    "terminated with exit code 10"
)

SHOWN = """\
resource web1 {
    options {
        cpu-mask        	""; # default
        on-no-data-accessible	io-error; # default
    }
    net {
        protocol        	C; # default
        allow-two-primaries	yes;
        cram-hmac-alg   	"sha256";
        shared-secret   	"s3cr3t";
        ping-timeout    	30; # 1/10 seconds
    }
    _remote_host {
        address			ipv4 10.99.0.2:7900;
    }
    _this_host {
        address			ipv4 10.99.0.1:7900;
        volume 0 {
            device			minor 100;
            disk			"/dev/vg0/web1";
            meta-disk			internal;
            disk {
                fencing         	resource-and-stonith;
                resync-rate     	204800k; # bytes/second
            }
        }
    }
}
"""

# Verification from its beginning to its end, and one that the peer's departure cut short.
VERIFIED = """\
change peer-device name:web1 peer-node-id:0 conn-name:peer volume:0 replication:VerifyS \
received:0 sent:0 out-of-sync:0 pending:0 unacked:0
change peer-device name:web1 peer-node-id:0 conn-name:peer volume:0 replication:Established \
received:0 sent:0 out-of-sync:4 pending:0 unacked:0
"""
PARTED = """\
change connection name:web1 peer-node-id:0 conn-name:peer connection:Disconnecting role:Unknown
change peer-device name:web1 peer-node-id:0 conn-name:peer volume:0 replication:Off \
peer-disk:Outdated received:102360 sent:143320 out-of-sync:0 pending:0 unacked:0
call helper name:web1 peer-node-id:0 conn-name:peer helper:unfence-peer
response helper name:web1 peer-node-id:0 conn-name:peer helper:unfence-peer status:0
change connection name:web1 peer-node-id:0 conn-name:peer connection:StandAlone
destroy peer-device name:web1 peer-node-id:0 conn-name:peer volume:0
destroy connection name:web1 peer-node-id:0 conn-name:peer
"""
