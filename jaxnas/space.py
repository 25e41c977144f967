"""The choices of the spaces, under the name by which users' own space files import them."""

from jaxnas.spaces.choices import *
from jaxnas.spaces.darts.choices import *
from jaxnas.spaces.hypercuboid.choices import *
from jaxnas.spaces.nasbench201.choices import *
