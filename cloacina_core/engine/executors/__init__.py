"""Where attempts run. An executor takes calls and reports outcomes; it decides nothing."""
