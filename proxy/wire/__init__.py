"""JSON and bytes: requests into the nouns of `proxy.model`, and those into answers. Pure."""
