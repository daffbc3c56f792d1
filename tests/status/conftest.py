from tests.fakes.fixtures import short_timeouts as short_timeouts
from tests.fakes.fixtures import three as three
from tests.fakes.fixtures import units as units
from tests.fakes.fixtures import vm as vm
