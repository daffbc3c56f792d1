"""How the members agree where the document lies in etcd: a majority of its voters commits.

The key `head` says which document is the newest, `body/<hash>` holds its text. A proposer makes
the next document from the one that `head` names and swaps it in one transaction. What etcd shows
is judged as what a member shows: each generation is computed from its parent, never believed.
"""
