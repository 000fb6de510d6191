"""From untrusted bytes to a `CheckedWheel`, and from files to a wheel.

`checked` is the only road from bytes to contents. It decides from one immutable bytes object and
hands on the very bytes it looked at: nothing is read twice, by two parsers or at two times. Each
module below it knows one part of the rules:

    framing     the records of the zip file: where they stand, and that they agree
    paths       the names of the entries
    archive     sizes, and the contents themselves
    filename    what the wheel's file name says
    text        the text files of dist-info
    metadata    what METADATA and WHEEL say
    entry_points  what entry_points.txt says
    record      that RECORD names exactly the contents
    profile     what may lie in a package at all
    sources     that Python files compile, asked in a process of its own, `sources_child`
    lock        that the lock has what the package requires

`writer` and `reading` serve those who build packages.
"""
