"""What a change of the document depends on besides it, by its parameters: other keys of etcd."""

from collections.abc import Mapping
from typing import Any

from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import Compare, none_written_since

MARKS = "marks"  # the parameter of a change: the revision at which the marks were read


def depends_on(keys: ClusterKeys, params: Mapping[str, Any]) -> list[Compare]:
    """The comparisons of a change's transaction.

    A change that names the revision at which the marks of stale replicas were read is made while
    none was written since. All of them: etcd takes no more than 128 comparisons.
    """
    revision = params.get(MARKS)
    return [none_written_since(keys.marks, revision)] if revision else []
