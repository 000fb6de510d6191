"""Triggers: functions of packages that are polled, and say when runs are to be started."""
