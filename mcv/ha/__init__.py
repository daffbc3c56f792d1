"""High availability: the lease that is the right to run guests, and what stands on it.

Everything that decides here runs over env.py, in a node as in the simulator of tests/ha.
"""
