"""How releases come to be what runs get, and cease to be: channels, canaries, withdrawal.

health      whether a canary goes on, is stopped or promoted; pure
params      whether callers of one release can call another; pure
trial       whether a release can be loaded: in a process of its own
channels    promote, roll back, pin, try out
check       what a promotion would change
withdrawal  quarantine, kill, retire, and back
"""
