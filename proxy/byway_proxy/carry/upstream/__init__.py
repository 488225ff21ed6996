"""Our own HTTP/1.1 client for providers: one pool, one parser, nothing per chunk. The front is `client`."""
