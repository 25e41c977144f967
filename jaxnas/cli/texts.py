"""The texts of `jaxnas --help` and `jaxnas COMMAND --help`."""

JAXNAS = """jaxnas finds neural networks by gradient descent, on JAX.

usage: jaxnas COMMAND [options]

  search              search a cell, retrain it and random ones, write a report
  explore             search by evaluations: evolution, predictors, controllers
  retrain GENOTYPE    train the network of a genotype
  narrow GENOTYPE     prune channels of a network until it meets a budget
  export RUN          write the trained network as files that need no jaxnas
  predict FILE IMAGE  classify pictures with an exported network
  report RUN          write the report of a run folder again
  draw GENOTYPE       draw the cells of a genotype as SVG and PNG
  check FILE          check a space of your own
  methods             list the methods of search, with their settings
  strategies          list the strategies of explore, with their settings
  spaces              list the search spaces
  ablate FILE         run a table of methods, settings, data and seeds
  compare RUN...      one page and one table of many runs, with their statistics
  verify RUN [RUN]    run steps again and compare bytes; or the first difference of two
  diagnose RUN        curvature, sharpness and gaps of a search
  oracle COMMAND      look up the scores of a NAS-Bench-201 cell
  latency COMMAND     measure networks on this device, fit a model, predict
  --version           print the version
  --completion SHELL  print a completion script, for bash, zsh or fish

`jaxnas COMMAND --help` lists the options. --debug shows the traceback of an error.

examples:
  jaxnas search                                  built-in digits, a minute or two
  jaxnas search --data cifar10 --data-dir ~/tfds --limit 5000
  jaxnas retrain runs/digits-darts-seed0 --epochs 30
  jaxnas draw DARTS_V2 --out pictures
"""

SEARCH = """Searches a cell, retrains it and random cells, and writes a report.

examples:
  jaxnas search
  jaxnas search --space nasbench201 --epochs 20
  jaxnas search --data my_images.npz --method darts --order exact --features 8
  jaxnas search --method pc-darts --set partial=2 warm_up=4
  jaxnas search --space darts-no-none --select perturbation --set interval=1
  jaxnas search --space nasbench201 --method spos --select evolution
  jaxnas search --data cifar10 --data-dir ~/tfds --limit 5000 --name small
  jaxnas search --data cifar10 --preset paper --retrain.preset paper
"""

RETRAIN = """Trains the network of a genotype on all training images, and tests it.

examples:
  jaxnas retrain runs/digits-darts-seed0
  jaxnas retrain genotype.json --data my_images.npz --epochs 50 --features 16
  jaxnas retrain DARTS_V2 --data cifar10 --preset paper
"""

NARROW = """Trains the network of a genotype, prunes it to a budget by NetAdapt, and tunes it.

examples:
  jaxnas narrow runs/digits-mobile-proxyless-proxyless-seed0 --macs 100000
  jaxnas narrow runs/digits-darts-seed0 --macs 60000 --multiple 2
  jaxnas narrow genotype.json --target-ms 0.4 --data cifar10 --data-dir ~/tfds --epochs 30
"""

EXPORT = """Writes the trained network of a run as files that run without jaxnas, and checks each.

A model card goes beside them; docs/export.md says which format is for what.

examples:
  jaxnas export runs/digits-darts-seed0 --to stablehlo
  jaxnas export runs/digits-darts-seed0 --to onnx flax --out network
"""

PREDICT = """Classifies pictures with an exported network.

examples:
  jaxnas predict runs/digits-darts-seed0/export/model.onnx photo.png
  jaxnas predict network/model.stablehlo.zip *.jpg --top 3 --json
"""

REPORT = """Writes report.html and the pictures of a run folder again, from its files.

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

Give them as `--set name=value ...`. Defaults are the papers'; `quick` is the quick preset's value.

examples:
  jaxnas methods
  jaxnas methods pc-darts
"""

SPACES = """Lists the spaces of `jaxnas search --space`, or one of them in detail.

examples:
  jaxnas spaces
  jaxnas spaces darts-s1
"""

ABLATE = """Runs a table of methods x settings x data x seeds, which a file of TOML describes.

Each row is a run of `jaxnas search` in a folder of its own. Rows appear in table.csv as they end;
the same command goes on where it was stopped, and report.html has the statistics
(docs/ablations.md).

examples:
  jaxnas ablate my_ablation.toml --dry-run
  jaxnas ablate my_ablation.toml
  jaxnas ablate my_ablation.toml --retry
"""

COMPARE = """Compares runs of the same data and space: one page, one table, paired tests over seeds.

Writes compare.html and compare.csv, a line a run. Runs are grouped by the settings in which they
differ, the seed left out; the folder of an ablation stands for all its runs (docs/ablations.md).

examples:
  jaxnas compare runs/digits-darts-seed*
  jaxnas compare runs/my_ablation --baseline random
"""

VERIFY = """Runs steps of a search again from a checkpoint, and compares every byte.

Shows the run's fingerprint: its settings, data, versions, flags, device and lowered program. Of two
runs it names the first thing in which they differ. Exit code 1 if anything differs.

examples:
  jaxnas verify runs/digits-darts-seed0
  jaxnas verify runs/digits-darts-seed0 --steps 20
  jaxnas verify runs/first runs/second
"""

DIAGNOSE = """Measures the last checkpoint of a search on its validation half, by batch statistics.

Writes diagnostics.json into the run's folder and prints a table: curvature of the loss in the
architecture and in the weights, gates, the discretisation gap, the agreement of hypergradients
(docs/diagnostics.md).

examples:
  jaxnas diagnose runs/digits-darts-seed0
  jaxnas diagnose runs/digits-darts-seed0 --batches 8 --no-exact-hessian
  jaxnas diagnose runs/digits-darts-seed0 --json
"""

ORACLE = """Scores of NAS-Bench-201 cells, from the benchmark's table.

  query CELL          true accuracies, rank and regret of a cell
  build EXPORT OUT    make the table from an export of the benchmark's API

`jaxnas oracle COMMAND --help` lists the options; docs/oracle.md says how to get the table.

examples:
  jaxnas oracle query 6111 --table nb201.npz
  jaxnas oracle query runs/digits-darts-seed0 --json
  jaxnas oracle build export.csv nb201.npz
"""

ORACLE_QUERY = """Prints the true accuracies, rank, regret and cost of a cell.

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

  measure   time networks, cells and operations on this device, or by your command
  fit       fit a model of all networks of the space to measurements
  predict   predict the milliseconds of a network, with an interval
  report    cross-validate the model and simpler ones
  check     check a latency table, and list times that contradict each other

`jaxnas latency COMMAND --help` lists the options.
"""

LATENCY_MEASURE = """Times networks that cover a space, in interleaved rounds, until times converge.

examples:
  jaxnas latency measure --networks 100
  jaxnas latency measure --budget-minutes 10 --threads 1
  jaxnas latency measure --space darts --genotypes DARTS_V2 found.json --cells 8
  jaxnas latency measure --kinds network block operator --slope
  jaxnas latency measure --command "./run_on_phone {network}" --networks 20
"""

LATENCY_FIT = """\
Fits a model to measurements: a campaign's folder, a table with its space, or one of columns of
numbers (layers, width, length, ...) that describe each row.

examples:
  jaxnas latency fit latency/nasbench201-c16-n1-32x32-b1-seed0
  jaxnas latency fit phone.csv --space nasbench201 --device pixel --out pixel.json
  jaxnas latency fit ten_networks.csv --space nasbench201 --sources pixel.json laptop.json
  jaxnas latency fit transformers.csv --out transformers.json
"""

LATENCY_PREDICT = """\
Predicts the milliseconds of networks, with 90 % intervals; of a model of columns, of rows.

examples:
  jaxnas latency predict pixel.json runs/digits-nasbench201-seed0
  jaxnas latency predict transformers.json others.csv --json
  jaxnas latency predict pixel.json '|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|'
"""

LATENCY_REPORT = """Evaluates the model and simpler ones on networks that they were not fitted to.

examples:
  jaxnas latency report latency/nasbench201-c16-n1-32x32-b1-seed0
  jaxnas latency report phone.csv --space nasbench201 --out phone-report
"""

LATENCY_CHECK = """\
Prints the contents of a latency table, and its entries that are slower though they do less.

Tables of whole networks, tables of columns of numbers, and look-up tables of layers:
Single-Path's, ProxylessNAS's, FBNet-style ones (docs/latency.md has the columns).

examples:
  jaxnas latency check singlepath_pixel1_lut.csv
  jaxnas latency check singlepath_pixel1_lut.csv --space mobile-single-path
  jaxnas latency check phone.csv --space nasbench201
"""

EXPLORE = """Searches by evaluations: a strategy asks for networks and is told how they score.

examples:
  jaxnas explore --evaluations 20                    short trainings on the built-in digits
  jaxnas explore --space nasbench201 --strategy nsga2 --evaluate table --table nb201.npz \\
    --goal max:valid min:parameters --evaluations 200
  jaxnas explore --space mobile-fbnet --evaluate supernet:runs/digits-mobile-fbnet-spos-seed0 \\
    --goal max:accuracy 'min:latency_ms<=8' --latency latency/mine
  jaxnas explore --vary learning_rate=0.03,0.1 epochs=2,4 --evaluations 40 --workers 2
"""

STRATEGIES = """Lists the strategies of `jaxnas explore --strategy`, or the settings of one of them.

Give them as `--set name=value ...`.

examples:
  jaxnas strategies
  jaxnas strategies nsga2
"""
