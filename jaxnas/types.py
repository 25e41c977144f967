"""`jaxnas.core.types`, under the name by which users' own files import it."""
