"""Two releases of one package alive in one process, each importing its own modules.

Compatibility isolation, not a sandbox: what a release's code does to the process, as patching
`json.dumps` or writing to `os.environ`, it does to everybody. Code that isn't trusted, or that
isn't pure Python, belongs into a worker process.
"""
