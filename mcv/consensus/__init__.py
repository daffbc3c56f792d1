"""How the members agree on the document: the coordinator's protocol, a side of it in each module.

The first online member by name is the coordinator. Whoever wants a change makes the next
document and offers it to the coordinator: a compare-and-swap on the parent's hash. The coordinator
looks round, writes the proposal itself first, has every online member write it, and then
settles it by one rename. From its own proposal on, a change is not taken back.
"""
