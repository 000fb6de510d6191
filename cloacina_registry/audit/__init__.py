"""The log of the registry: what happened to releases, in a form that can't be rewritten unseen."""
