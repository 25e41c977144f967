"""Search methods: one file each, which composes parts of the engine."""
