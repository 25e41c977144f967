"""`jaxnas.spaces.choices`, under the name by which users' own space files import it."""
