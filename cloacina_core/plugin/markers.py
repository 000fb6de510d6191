"""The marks by which pluggy knows hook specifications and their implementations."""

import pluggy

PROJECT = "cloacina"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
