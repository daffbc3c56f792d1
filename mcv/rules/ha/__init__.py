"""High availability decides: what is seen goes in, what is done next and why comes out.

The values are in `snapshot`, `status` and `actions`, the tables in `nodes` and `services`, and
`decide` puts them together. Nothing here has a clock, or reads or writes anything.
"""
