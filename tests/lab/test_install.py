"""What a node looks like after `make install`: it boots with mcvd running, and nothing more."""

import shlex

from tests.lab import Node

NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
MODES = {
    "/opt/mcv": "755 root",
    "/opt/mcv/bin/python3": "777 root",
    "/opt/mcv/bin/mcv": "755 root",
    "/opt/mcv/bin/mcvd": "755 root",
    "/opt/mcv/bin/mcv-drbd-handler": "755 root",
    "/opt/mcv/bin/mcv-guests": "755 root",
    "/opt/mcv/bin/mcv-lease": "755 root",
    "/usr/local/bin/mcv": "777 root",
    "/usr/local/bin/mcvd": "777 root",
    "/etc/mcv/mcv.conf": "644 root",
    "/etc/cron.d/mcv": "644 root",
    "/etc/udev/rules.d/57-mcv.rules": "644 root",
    "/etc/systemd/system/mcvd.service": "644 root",
    "/etc/systemd/system/mcv-etcd.service": "644 root",
    "/etc/systemd/system/mcv-guests.service": "644 root",
    "/etc/systemd/system/mcv-lease.service": "644 root",
    "/etc/systemd/system/mcv-verify.timer": "644 root",
    "/etc/systemd/system/mcv-verify.service": "644 root",
    "/etc/systemd/system/mcv-verify-failed.service": "644 root",
    "/etc/libvirt/hooks/qemu.d/mcv": "755 root",
    "/run/mcv": "700 root",
    "/run/mcv/mcvd.sock": "600 root",
    "/var/lib/mcv": "711 root",  # QEMU passes through to the pool
    "/var/lib/mcv/pool": "711 root",
    "/var/lib/mcv/node1": "700 root",
    "/var/lib/mcv/node1/config.json": "600 root",
    "/var/lib/mcv/node1/pki": "700 root",
}


def test_every_file_is_in_its_place(strangers: list[Node]) -> None:
    node1, _ = strangers

    told = node1.run(f"stat --format '%n %a %U' {' '.join(MODES)}").stdout.splitlines()

    assert dict(line.split(" ", 1) for line in told) == MODES
    keys = node1.run("find /var/lib/mcv/node1/pki -type f -perm /077").stdout
    assert keys == ""
    foreign = node1.run("find /opt/mcv ! -user root -o -perm /022 ! -type l").stdout
    assert foreign == ""
    links = node1.run("readlink /usr/local/bin/mcv /usr/local/bin/mcvd").stdout.split()
    assert links == ["/opt/mcv/bin/mcv", "/opt/mcv/bin/mcvd"]


def test_it_runs_isolated_on_the_host_s_own_python(strangers: list[Node]) -> None:
    node1, _ = strangers

    for program in ("mcv", "mcvd", "mcv-drbd-handler"):
        first = node1.run(f"head -n 1 /opt/mcv/bin/{program}").stdout
        assert first == "#!/opt/mcv/bin/python3 -I\n"
    assert node1.run("readlink -f /opt/mcv/bin/python3").stdout.startswith("/usr/bin/python3")
    # Neither root's environment nor the current directory has a say in which code runs.
    node1.run("mkdir -p /tmp/evil && echo 'raise SystemExit(9)' > /tmp/evil/click.py")
    node1.run("cd /tmp/evil && PYTHONPATH=/tmp/evil mcv info && rm -r /tmp/evil")


def test_the_configuration_as_installed_is_all_comments(strangers: list[Node]) -> None:
    node1, _ = strangers

    told = node1.run("grep -v -e '^#' -e '^$' /etc/mcv/mcv.conf", check=False)

    assert told.stdout == ""


def test_started_means_that_it_answers(strangers: list[Node]) -> None:
    node1, _ = strangers
    show = "systemctl show mcvd -p Type -p ActiveState -p UnitFileState -p Restart"

    shown = node1.run(show).stdout.split()
    told = node1.run("systemctl restart mcvd && mcv info --json")

    assert sorted(shown) == [
        "ActiveState=active",
        "Restart=on-failure",
        "Type=notify",
        "UnitFileState=enabled",
    ]
    assert told.stdout.startswith("{")
    assert "libvirtd" in node1.run("systemctl show mcvd -p After").stdout


def test_a_daemon_that_dies_is_started_again(strangers: list[Node]) -> None:
    node1, _ = strangers
    node1.run("systemctl kill --signal=KILL mcvd")

    told = node1.run(
        "for _ in $(seq 30); do mcv info > /dev/null 2>&1 && break; sleep 1; done; mcv info"
    )

    assert "node1" in told.stdout
    node1.run("systemctl reset-failed mcvd")


def test_cron_takes_the_weekly_verification(strangers: list[Node]) -> None:
    node1, _ = strangers
    lines = node1.run("grep -v -e '^#' -e '^$' /etc/cron.d/mcv").stdout.splitlines()

    jobs = [line for line in lines if "=" not in line.split()[0]]

    assert len(jobs) == 1
    assert jobs[0].split()[5] == "root" and "mcv verify --all --owned" in jobs[0]
    # The timer does it here, so this job ends at once.
    command = jobs[0].split(maxsplit=6)[6].replace("\\%", "%")
    assert node1.run(f"sh -c {shlex.quote(command)}", timeout=20).stdout == ""
    logged = node1.run("journalctl --no-pager --unit=cron").stdout
    assert "Error" not in logged and "bad" not in logged


def test_the_timer_begins_the_weekly_verification_and_a_failure_is_handed_on(
    strangers: list[Node],
) -> None:
    node1, _ = strangers

    timers = node1.run("systemctl list-timers mcv-verify.timer --no-legend").stdout
    checked = node1.run(
        "systemd-analyze verify --man=no /etc/systemd/system/mcv-*.{service,timer} 2>&1"
    ).stdout
    node1.run("systemctl start mcv-verify.service")

    assert "mcv-verify.service" in timers and checked == ""
    # Begun by hand it did not wait; a timer's verification waits for the node's own minute.
    now = "[Timer]\nOnActiveSec=0\nAccuracySec=1ms\nUnit=mcv-verify.service\n"
    node1.put(now, "/run/systemd/system/verify-now.timer")
    node1.run("systemctl daemon-reload && systemctl start verify-now.timer")
    waits = "for _ in $(seq 50); do pgrep -fa '^sleep [0-9]+m$' && break; sleep 0.2; done"
    try:
        assert "sleep 1m" in node1.run(waits).stdout  # what its name gives, as in cron's job
    finally:
        node1.run("systemctl stop verify-now.timer mcv-verify.service")
        node1.run("rm /run/systemd/system/verify-now.timer && systemctl daemon-reload")
    assert (
        node1.run("systemctl show -P OnFailure mcv-verify").stdout == "mcv-verify-failed.service\n"
    )
    node1.run("systemctl stop mcvd")
    whole = "cat > /root/mail && mv /root/mail /root/mailed"  # a mail is there when it is whole
    node1.put(f"#!/bin/sh\n{whole}\n", "/usr/local/sbin/fake-sendmail")
    node1.run("chmod 755 /usr/local/sbin/fake-sendmail")
    node1.run("ln -s /usr/local/sbin/fake-sendmail /usr/sbin/sendmail")
    try:
        assert node1.run("systemctl start mcv-verify.service", check=False).code != 0
        mailed = node1.run(
            "for _ in $(seq 30); do test -s /root/mailed && break; sleep 1; done; cat /root/mailed"
        ).stdout
    finally:
        node1.run("rm -f /usr/sbin/sendmail /root/mailed; systemctl reset-failed mcv-verify")
        node1.run("systemctl start mcvd")
    assert "Subject: mcv verify failed on node1" in mailed
    assert "mcvd does not run on this host" in mailed


def test_help_and_version_answer_everybody_and_nothing_else_does(strangers: list[Node]) -> None:
    node1, _ = strangers

    assert "Usage: mcv" in node1.run(f"{NOBODY} mcv --help").stdout
    assert "--memory" in node1.run(f"{NOBODY} mcv create --help").stdout
    assert node1.run(f"{NOBODY} mcv --version").stdout.startswith("mcv ")
    told = node1.run(f"{NOBODY} mcv list", check=False)
    assert (told.code, told.stdout) == (3, "") and len(told.stderr.splitlines()) == 1


SEVENTY = """
import threading
from mcv.rpc.client import Client

answers = []

def ask():
    try:
        answers.append(Client(tell=lambda text: None).call("cluster.info")["node"])
    except Exception as error:
        answers.append(repr(error))

callers = [threading.Thread(target=ask) for _ in range(70)]
[caller.start() for caller in callers]
[caller.join() for caller in callers]
print(sorted(set(answers)), len(answers))
"""


def test_seventy_calls_at_once_on_a_node_of_one_processor_are_answered(
    strangers: list[Node],
) -> None:
    node1, _ = strangers

    told = node1.run("/opt/mcv/bin/python3 -I -", stdin=SEVENTY, timeout=90).stdout

    assert told == "['node1'] 70\n"


def test_a_node_without_its_daemon_says_so(strangers: list[Node]) -> None:
    node1, _ = strangers
    node1.run("systemctl stop mcvd")

    told = node1.run("mcv list", check=False)

    assert told.code == 3 and "systemctl start mcvd" in told.stderr
    assert node1.run("mcv --help").code == 0
    node1.run("systemctl start mcvd")


def test_a_node_is_up_again_after_a_reboot_in_good_order(strangers: list[Node]) -> None:
    node1, _ = strangers
    name = node1.run("cat /var/lib/mcv/node1/config.json").stdout

    node1.shutdown()
    node1.boot()

    assert node1.run("systemctl is-active mcvd").stdout == "active\n"
    assert node1.run("cat /var/lib/mcv/node1/config.json").stdout == name
    assert node1.run("systemctl list-units --failed --quiet --plain").stdout == ""
