"""`jaxnas explore`: search strategies that evaluate designs."""
