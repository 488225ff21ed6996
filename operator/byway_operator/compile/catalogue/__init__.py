"""What is known of providers and their models before anybody says a word: see `catalogue`."""
