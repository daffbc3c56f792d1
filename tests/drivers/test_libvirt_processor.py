"""Processors as libvirt tells them, in the document's words."""

import pytest

from mcv.document.hardware import Cpu
from mcv.drivers.libvirt_processor import cpu_of, host_model
from mcv.errors import HypervisorFailed

CAPABILITIES = """
<domainCapabilities><cpu>
  <mode name='host-passthrough' supported='yes'/>
  <mode name='host-model' supported='yes'>
    <model fallback='forbid'>EPYC</model><vendor>AMD</vendor>
    <feature policy='require' name='umip'/><feature policy='disable' name='sha-ni'/>
  </mode>
  <mode name='custom' supported='yes'><model usable='yes'>qemu64</model></mode>
</cpu></domainCapabilities>
"""


def test_the_hosts_model_is_what_libvirt_compares() -> None:
    xml = host_model(CAPABILITIES)

    assert xml.startswith('<cpu mode="custom" match="exact">') and "qemu64" not in xml
    assert cpu_of(xml) == Cpu(model="EPYC", features={"umip": "require", "sha-ni": "disable"})


@pytest.mark.parametrize(
    "xml",
    [
        "<domainCapabilities/>",
        CAPABILITIES.replace("host-model' supported='yes'", "host-model' supported='no'"),
    ],
)
def test_a_host_without_a_model_says_so(xml: str) -> None:
    with pytest.raises(HypervisorFailed, match="does not know the processor"):
        host_model(xml)


@pytest.mark.parametrize(
    "xml",
    [
        "<cpu/>",
        "<cpu><model>a,b=c</model></cpu>",
        "<cpu><model>a</model><feature name='x' policy='optional'/></cpu>",
        "<cpu><model>a</model><feature name='x y' policy='require'/></cpu>",
    ],
)
def test_what_is_no_processor_is_not_kept(xml: str) -> None:
    with pytest.raises(HypervisorFailed, match="cannot be kept"):
        cpu_of(xml)
