"""How the nodes agree on the document: one narrow door (protocol.py), a home for each way.

`unanimous/` needs no other part: every online member takes part in every change.
"""
