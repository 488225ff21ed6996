"""What every process of ours does alike: settings from the environment, logs of one shape, running and ending,
TLS whose files change, and tokens."""
