"""Cases with results that other billing systems state, run against the domains of this one.

`data` holds the cases, a file a topic; the `conventions` of a file are part of the specification.
`adapters` maps what a case gives to calls of a domain, an adapter a topic; `exceptions.toml` says
where this suite decided otherwise. `make vectors` runs every case, and the tests those of the
topics that are done.
"""
