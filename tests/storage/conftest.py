from tests.fakes.fixtures import short_timeouts as short_timeouts
from tests.fakes.fixtures import three as three
