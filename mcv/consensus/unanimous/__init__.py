"""How the members agree on the document: the coordinator's protocol, a side of it in each module.

The first online member by name is the coordinator. A proposer makes the next document from
its committed one and sends it to the coordinator: a compare-and-swap on the parent's hash. The
coordinator polls the members, writes the proposal itself first, has every online member accept
it, and then commits it by one rename. From the coordinator's own write on, a proposal is not
withdrawn.
"""
