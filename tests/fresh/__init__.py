"""`make fresh`: the demo and the lab's own tests on a bare Debian 12, made for it in a directory.

The nodes of the lab stand on the root of the machine that they run on. What that machine
happens to have, somebody else's may lack; here nothing is there but git and make.
"""
