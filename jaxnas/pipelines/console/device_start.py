"""Whether JAX can start on this machine, and the reason in words if not."""

import os

import jax

# Variables by which JAX and its plug-ins choose devices, and flags.
VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "CUDA_VISIBLE_DEVICES", "XLA_FLAGS")


def failure() -> str | None:
    """None if JAX has its devices, else why not, the devices there are, and what to change.

    After a failure JAX is set to the CPU: the process is about to end.
    """
    try:
        jax.devices()
    except Exception as error:  # JAX raises RuntimeError, AssertionError and those of plug-ins
        cause = (str(error).strip() or "no such device here").splitlines()[0].rstrip(". ")
    else:
        return None
    set_here = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
    wanted = f" with {' '.join(set_here)}" if set_here else ""
    name = set_here[0].partition("=")[0] if set_here else "JAX_PLATFORMS"
    return (
        f"JAX cannot start{wanted}: {cause}. There is {_devices_here()} here: unset {name}, or set "
        "JAX_PLATFORMS=cpu."
    )


def _devices_here() -> str:
    try:
        jax.config.update("jax_platforms", "cpu")
        devices = jax.devices()
    except Exception:  # nothing starts
        return "no device that JAX can use"
    return ", ".join(sorted({device.platform for device in devices}))
