"""The texts of `jaxnas --help` and `jaxnas COMMAND --help`."""

JAXNAS = """jaxnas finds neural networks by gradient descent, on JAX.

usage: jaxnas COMMAND [options]

  search              find a cell, retrain it beside random ones, write a report
  retrain GENOTYPE    train the network of a genotype
  narrow GENOTYPE     take channels from a mobile network until it fits a budget
  report RUN          write the report of a run folder again
  draw GENOTYPE       draw the cells of a genotype as SVG and PNG
  check FILE          check a space of your own
  methods             list the methods of search, with their settings
  spaces              list the search spaces
  diagnose RUN        curvature, sharpness and gaps of a search
  oracle COMMAND      look up what a NAS-Bench-201 cell really scores
  latency COMMAND     measure networks on this device, fit a model, predict
  --version           print the version

`jaxnas COMMAND --help` lists the options. --debug shows the traceback of an error.

examples:
  jaxnas search                                  built-in digits, a minute or two
  jaxnas search --data cifar10 --data-dir ~/tfds --limit 5000
  jaxnas retrain runs/digits-darts-seed0 --epochs 30
  jaxnas draw DARTS_V2 --out pictures
"""

SEARCH = """Finds a cell, retrains it beside random cells, and writes a report.

examples:
  jaxnas search
  jaxnas search --space nasbench201 --epochs 20
  jaxnas search --data my_images.npz --method darts --order exact --features 8
  jaxnas search --method pc-darts --set partial=2 warm_up=4
  jaxnas search --space darts-no-none --select perturbation --set interval=1
  jaxnas search --data cifar10 --data-dir ~/tfds --limit 5000 --name small
  jaxnas search --data cifar10 --preset paper --retrain.preset paper
"""

RETRAIN = """Trains the network of a genotype on all training images, and tests it.

examples:
  jaxnas retrain runs/digits-darts-seed0
  jaxnas retrain genotype.json --data my_images.npz --epochs 50 --features 16
  jaxnas retrain DARTS_V2 --data cifar10 --preset paper
"""

NARROW = """Trains a found network, narrows it into a budget by NetAdapt, and tunes what is left.

examples:
  jaxnas narrow runs/digits-mobile-proxyless-proxyless-seed0 --macs 100000
  jaxnas narrow runs/digits-darts-seed0 --macs 60000 --multiple 2
  jaxnas narrow genotype.json --target-ms 0.4 --data cifar10 --data-dir ~/tfds --epochs 30
"""

REPORT = """Writes report.html and the pictures of a run folder again, from what is there.

example: jaxnas report runs/digits-darts-seed0
"""

DRAW = """Draws the cells of a genotype, as SVG and PNG.

examples:
  jaxnas draw runs/digits-darts-seed0
  jaxnas draw DARTS_V2 --out pictures
"""

CHECK = """Checks a space of your own, and explains what fails.

example: jaxnas check my_space.py
"""

METHODS = """Lists the methods of `jaxnas search --method`, or the settings of one of them.

Give them as `--set name=value ...`. Defaults are the papers'; the quick preset changes those that
it names.

examples:
  jaxnas methods
  jaxnas methods pc-darts
"""

SPACES = """Lists the spaces of `jaxnas search --space`, or what one of them is.

examples:
  jaxnas spaces
  jaxnas spaces darts-s1
"""

DIAGNOSE = """Measures the last checkpoint of a search on its validation half, by batch statistics.

Writes diagnostics.json into the run's folder and prints a table: curvature of the loss in the
architecture and in the weights, gates, what selecting costs, how hypergradients agree
(docs/diagnostics.md).

examples:
  jaxnas diagnose runs/digits-darts-seed0
  jaxnas diagnose runs/digits-darts-seed0 --batches 8 --no-exact-hessian
  jaxnas diagnose runs/digits-darts-seed0 --json
"""

ORACLE = """What a cell of NAS-Bench-201 really scores.

  query CELL          true accuracies, rank and regret of a cell
  build EXPORT OUT    make the table from an export of the benchmark's API

`jaxnas oracle COMMAND --help` lists the options; docs/oracle.md says how to get the table.

examples:
  jaxnas oracle query 6111 --table nb201.npz
  jaxnas oracle query runs/digits-darts-seed0 --json
  jaxnas oracle build export.csv nb201.npz
"""

ORACLE_QUERY = """Tells the true accuracies, rank, regret and cost of a cell.

examples:
  jaxnas oracle query 6111 --table nb201.npz
  jaxnas oracle query runs/digits-darts-seed0/genotype.json --json
  jaxnas oracle query '|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|'
"""

ORACLE_BUILD = """Makes the table of NAS-Bench-201 from an export of its API.

example: jaxnas oracle build export.csv nb201.npz
"""

LATENCY = """Latency: measured on a device, in milliseconds.

usage: jaxnas latency COMMAND [options]

  measure   time networks, cells and operations here, or by a command of yours
  fit       a model of all networks of the space, from those that were measured
  predict   the milliseconds of any network, with an interval
  report    how good the model is on networks held out, beside simpler ones
  check     what a table from elsewhere holds, and where it cannot be right

`jaxnas latency COMMAND --help` lists the options.
"""

LATENCY_MEASURE = """Times networks that cover a space, in interleaved rounds, until the times hold.

examples:
  jaxnas latency measure --networks 100
  jaxnas latency measure --budget-minutes 10 --threads 1
  jaxnas latency measure --space darts --genotypes DARTS_V2 found.json --cells 8
  jaxnas latency measure --kinds network block operator --slope
  jaxnas latency measure --command "./run_on_phone {network}" --networks 20
"""

LATENCY_FIT = """\
Fits a model to what was measured: a campaign's folder, or a table of yours with its space.

examples:
  jaxnas latency fit latency/nasbench201-c16-n1-32x32-b1-seed0
  jaxnas latency fit phone.csv --space nasbench201 --device pixel --out pixel.json
  jaxnas latency fit ten_networks.csv --space nasbench201 --sources pixel.json laptop.json
"""

LATENCY_PREDICT = """\
Tells the milliseconds of networks, and between which they lie nine times of ten.

examples:
  jaxnas latency predict pixel.json runs/digits-nasbench201-seed0
  jaxnas latency predict pixel.json '|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|'
"""

LATENCY_REPORT = """Judges the model and simpler ones on networks that they were not fitted to.

examples:
  jaxnas latency report latency/nasbench201-c16-n1-32x32-b1-seed0
  jaxnas latency report phone.csv --space nasbench201 --out judged
"""

LATENCY_CHECK = """\
Says what a table from elsewhere holds, and what in it is slower though it does less.

Tables of whole networks that were timed, and look-up tables of layers: Single-Path's,
ProxylessNAS's, FBNet-style ones (docs/latency.md has the columns).

examples:
  jaxnas latency check singlepath_pixel1_lut.csv
  jaxnas latency check singlepath_pixel1_lut.csv --space mobile-single-path
  jaxnas latency check phone.csv --space nasbench201
"""
