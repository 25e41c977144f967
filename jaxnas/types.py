"""`jaxnas.core.types`, under the name by which users' own files import it."""

from jaxnas.core.types import *
