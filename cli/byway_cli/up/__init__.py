"""`byway up`: the same three processes as in a cluster, on loopback, from a folder."""
