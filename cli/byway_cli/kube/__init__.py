"""`kubectl byway`: what a person asks of a cluster, with no right but his own."""
