"""Parts of the one process that have a process of their own beside it, so that the door and the engine have an
interpreter to themselves.

`told` is what parent and child say to each other, `part` the parent's side, `process` the child's; each part's own
file says what it is made of.
"""
